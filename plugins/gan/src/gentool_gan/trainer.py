"""How a generator and a discriminator are trained against each other, from scratch."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gentool import Model, Trainer, TrainingError
from gentool.artifacts import Grid
from gentool.training import Batch, Fit, Moment, Pictures, Setup, Update
from gentool_gan.adopt import adopt, fits
from gentool_gan.augment import augment
from gentool_gan.discriminators import (
    LAYERS,
    DCGANDiscriminator,
    FeatureDiscriminator,
    ResidualDiscriminator,
)
from gentool_gan.health import Health, relative_spread
from gentool_gan.losses import GAMES, r1
from gentool_gan.metrics import Judge
from gentool_gan.nets import GAN, WIDTHS, Config, dcgan_config
from gentool_gan.options import TrainOptions
from gentool_gan.teacher import Teacher
from gentool_perceptual.features import Features

PREVIEW = (8, 10)  # rows of latents, columns at most: one for each class
CALIBRATION = 20  # batches that BatchNorm's statistics are taken from
SCALED = 64  # pictures that features are scaled by
TEACHING = 20.0  # weight of a teacher at first: its gradient is then about the game's own
DRAWN = 100  # pictures that are generated at once
FIGURED = 2000  # pictures on each side that the figures of a validation are computed from


class Recipe(NamedTuple):
    """What a preset was published with; options may say otherwise."""

    loss: str
    generator_rate: float
    discriminator_rate: float
    betas: tuple[float, float]
    discriminator: str
    discriminator_width: int
    augment: tuple[str, ...]


RECIPES = {
    # rates of Heusel et al. 2017 and Zhang et al. 2018: one step of each network a batch
    "residual": Recipe("hinge", 2e-4, 4e-4, (0.0, 0.9), "features", 64, ("translation", "cutout")),
    # Radford et al. 2015, section 4
    "dcgan": Recipe("bce", 2e-4, 2e-4, (0.5, 0.999), "pixels", 64, ()),
}


class GANTrainer(Trainer):
    """One update of the discriminator and one of the generator a step."""

    def __init__(self, options: TrainOptions, setup: Setup) -> None:
        self.options, self.setup = options, setup
        self.recipe = recipe = _recipe(options)
        self.pictures = Pictures(setup.plan.data, prepare=Fit(options.size), split="all")
        if len(self.pictures) < 2:
            raise TrainingError(
                f"--data {self.pictures.where}: has one picture; give many, better thousands"
            )
        self.datasets = (self.pictures,)
        self.teacher = Teacher(options.teacher, setup) if options.teacher else None
        self.model = GAN(_config(options, self.pictures))
        if options.conditional is None:
            setup.note(_told(options.net, self.model.config.classes))
        self.generator = setup.place(self.model.generator)
        self.discriminator = setup.place(self._discriminator())
        if self.teacher is not None:
            self.learns_from = (self.teacher.path,)
            self.teacher.check(self.model.config)
            if not setup.continues:
                self.teacher.hand_over(self.model, self.discriminator)
        self.game = GAMES[recipe.loss]
        self.judge = Judge(setup.device)
        rates = {"discriminator": recipe.discriminator_rate, "generator": recipe.generator_rate}
        nets = {"discriminator": self.discriminator, "generator": self.generator}
        losses = {"discriminator": self.discriminator_loss, "generator": self.generator_loss}
        self.updates = tuple(
            Update(
                {name: nets[name]},
                torch.optim.Adam(learning(nets[name]), rates[name], recipe.betas, fused=True),
                losses[name],
                name=name,
            )
            for name in nets
        )
        self.health = Health(setup, self.updates)
        self._compiled_generator = setup.compile(self.generator)
        self._compiled_discriminator = setup.compile(self.discriminator)

    def begin_from(self, given: Model) -> None:
        """As usual; but its classes may be others."""
        assert isinstance(given, GAN)
        if not fits(self.model, given):
            super().begin_from(given)
            return
        adopt(self.model, given)
        known = {*given.config.classes} & {*self.model.config.classes}
        kept = f"; of the same name: {', '.join(sorted(known))}" if known else ""
        self.setup.note(f"the classes are others than those of --weights: they begin anew{kept}")

    def _discriminator(self) -> torch.nn.Module:
        config, width = self.model.config, self.recipe.discriminator_width
        if self.options.net == "dcgan":
            return DCGANDiscriminator(config, width)
        if self.recipe.discriminator == "pixels":
            return ResidualDiscriminator(config, width)
        features = self.setup.place(Features.load(layers=LAYERS))
        real = self.pictures.sample(SCALED, self.setup)
        with torch.no_grad():
            seen = features(real)
        deviations = (float(seen[name].std().clamp_min(1e-6)) for name in LAYERS)
        half, quarter = (1 / deviation for deviation in deviations)
        return FeatureDiscriminator(config, width, features, (half, quarter))

    # --- one step -----------------------------------------------------------------------------

    def discriminator_loss(self, moment: Moment, batch: Batch) -> tuple[Tensor, Any]:
        """Tell real pictures from generated ones, of the same classes."""
        o = self.options
        lazy = o.r1 > 0 and moment.step % o.r1_every == 0
        real = batch.pictures * 2 - 1
        with torch.no_grad():
            fake = self.make(self.latents(batch), batch)
        seen = augment(real, self.recipe.augment).requires_grad_(lazy)
        # compiled, it has no second derivative
        net = self.discriminator if lazy else self._compiled_discriminator
        on_real, on_fake = self.logits(net, seen, augment(fake, self.recipe.augment), batch)
        total = self.game.discriminator(on_real, on_fake)
        terms = {
            "real": (on_real > 0).float().mean(),
            "fake": (on_fake < 0).float().mean(),
            "spread": relative_spread(fake, real),
        }
        self.health.watch(moment, terms)
        if lazy:  # so many times as strong, so many times as rare (Karras et al. 2020)
            terms["r1"] = r1(seen, on_real)
            total = total + o.r1 * o.r1_every * terms["r1"]
        return total, terms

    def generator_loss(self, moment: Moment, batch: Batch) -> tuple[Tensor, Any]:
        """Be taken for real, and make what the teacher makes, if there is one."""
        latents = self.latents(batch)
        made = self.make(latents, batch)
        total = self.deception(batch, augment(made, self.recipe.augment))
        if self.teacher is None:
            return total, {}
        terms = {"teacher": self.teacher.distance(latents, batch.labels, made)}
        # less and less, so that the end is not bound by what the teacher can do
        weight = (self.options.teacher_weight or TEACHING) * (1 - moment.share)
        return total + weight * terms["teacher"], terms

    def deception(self, batch: Batch, fake: Tensor) -> Tensor:
        """How far the discriminator is from taking generated pictures for real."""
        if self.recipe.loss == "relativistic":
            real = augment(batch.pictures * 2 - 1, self.recipe.augment)
            on_real, on_fake = self.logits(self._compiled_discriminator, real, fake, batch)
            return self.game.generator(on_real, on_fake)
        with self.setup.autocast():
            on_fake = self._compiled_discriminator(fake, batch.labels).float()
        return self.game.generator(on_fake, on_fake)

    def latents(self, batch: Batch) -> Tensor:
        """As many as there are pictures, (N,latent)."""
        return torch.randn(len(batch), self.model.config.latent, device=self.setup.device)

    def make(self, latents: Tensor, batch: Batch) -> Tensor:
        """Generated pictures of the same classes, (N,3,S,S) in -1..1."""
        with self.setup.autocast():
            pictures: Tensor = self._compiled_generator(latents, batch.labels)
        return pictures.float()

    def logits(
        self, discriminator: torch.nn.Module, real: Tensor, fake: Tensor, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """The discriminator's, of each kind apart: its BatchNorm, if any, must not mix them."""
        with self.setup.autocast():
            if self.options.net == "dcgan":
                return discriminator(real).float(), discriminator(fake).float()
            both = torch.cat([real, fake]), torch.cat([batch.labels, batch.labels])
            on_real, on_fake = discriminator(*both).float().chunk(2)
        return on_real, on_fake

    # --- the averaged generator ---------------------------------------------------------------

    def calibrate(self) -> None:
        """Take BatchNorm's statistics anew: the average of weights has others than they had."""
        norms = [m for m in self.generator.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        if not self.setup.plan.ema:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches
            norm.train()
        for number in range(CALIBRATION):
            self.samples(max(64, self.setup.plan.batch_size), number)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()

    def samples(self, count: int, seed: int) -> Tensor:
        """Pictures (N,3,S,S) in 0..1, of the classes in the proportions of the data."""
        config = self.model.config
        generator = torch.Generator().manual_seed(seed)
        latents = torch.randn(count, config.latent, generator=generator)
        drawn = torch.randint(len(self.pictures), (count,), generator=generator)
        labels = self.pictures.labels[drawn].to(self.setup.device)
        with self.setup.autocast():
            pictures: Tensor = self.model(latents.to(self.setup.device), labels)
        return pictures

    def preview(self) -> list[Grid]:
        """The same latents every time, a column for each class, or all different without."""
        rows, columns = PREVIEW
        config, device = self.model.config, self.setup.device
        columns = min(columns, len(config.classes) or columns)
        shared = columns if config.classes else 1  # pictures of one latent
        generator = torch.Generator().manual_seed(0)
        latents = torch.randn(rows * columns // shared, config.latent, generator=generator)
        latents = latents.to(device).repeat_interleave(shared, 0)
        labels = torch.arange(columns, device=device).repeat(rows)
        with self.setup.autocast():
            return [Grid([*self.model(latents, labels)], columns=columns)]

    @functools.cached_property
    def real_features(self) -> Tensor:
        """Of the real pictures that all validations compare with, (N,D)."""
        return self.judge.embed(self.pictures.sample(FIGURED, self.setup))

    def validate(self) -> Mapping[str, float]:
        """Distance, precision and recall in a random network's features; lower is better.

        The pictures compared with are trained on, too: what copies them is not found out.
        """
        real = self.real_features
        parts = range(0, len(real), DRAWN)  # a wide generator's features of all take gigabytes
        drawn = [self.samples(min(DRAWN, len(real) - i), seed=i) for i in parts]
        fake = self.judge.embed(torch.cat(drawn))
        figures = self.judge.compare(real, fake)
        self.health.check_recall(figures["recall"])
        return figures

    def state(self) -> Mapping[str, Tensor]:
        return self.health.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.health.load_state(state)


def learning(net: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The parameters that are not frozen."""
    return [p for p in net.parameters() if p.requires_grad]


def _recipe(options: TrainOptions) -> Recipe:
    """The preset's, changed by what the options give."""
    recipe = RECIPES[options.net]
    given = {name: getattr(options, name) for name in recipe._fields if hasattr(options, name)}
    chosen = {name: value for name, value in given.items() if value is not None}
    if "augment" in chosen:
        chosen["augment"] = tuple(word for word in chosen["augment"] if word != "none")
    return recipe._replace(**chosen)


def _told(net: str, classes: Sequence[str]) -> str:
    if net == "dcgan":
        return "without classes, which the dcgan preset does not learn"
    if not classes:
        return (
            "without classes, which are the folders in one folder or archive of --data: pictures "
            "lie outside of them, or all in one"
        )
    return f"{len(classes)} classes: {', '.join(classes[:12])}{', ...' * (len(classes) > 12)}"


def _config(options: TrainOptions, pictures: Pictures) -> Config:
    classes = tuple(pictures.classes)
    if options.conditional and len(classes) < 2:
        found = f"'{classes[0]}' alone" if classes else "pictures outside of folders"
        raise TrainingError(
            f"--data {pictures.where}: no labels to condition on: {found}; give a folder with one "
            "folder for each class, or --no-conditional"
        )
    if options.net == "dcgan":
        return dcgan_config(options.size)
    conditional = len(classes) > 1 if options.conditional is None else options.conditional
    return Config(
        widths=tuple(options.widths or WIDTHS[options.size]),
        latent=options.latent or Config.latent,
        classes=classes if conditional else (),
    )
