"""How the compact network learns from VGG-19: on pictures, and on what optimisers make of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gentool import Trainer, TrainingError
from gentool.artifacts import Grid
from gentool.progress import Notes
from gentool.training import Batch, Moment, Pictures, ScaleCrop, Setup, Update
from gentool_perceptual.compact import CHANNELS, LAYERS, Compact
from gentool_perceptual.features import Features
from gentool_perceptual.losses import ContentLoss, GramLoss, gram
from gentool_perceptual.options import TrainOptions

LONG_SIDES = (256.0, 742.0)  # pictures are seen as if their long side had this many pixels
LIFE = (10, 80)  # a picture of the pool is optimised for so many steps, drawn between these
STEP = 0.01  # of an optimised picture, per evaluation


class DistillationTrainer(Trainer):
    """Features and Gram matrices of a teacher, relative to their size, in every layer.

    Whoever optimises pixels through a network finds what it gets wrong. So a pool of pictures is
    optimised all the time through the network as it is, content towards the Gram matrices of
    another picture as Gatys does, and the teacher says what it really sees in them.
    """

    def __init__(self, options: TrainOptions, setup: Setup) -> None:
        self.options, self.setup = options, setup
        crop = ScaleCrop(options.crop_size, LONG_SIDES)
        self.datasets = (Pictures(setup.plan.data, crop),)
        self.held_out = Pictures(setup.plan.data, crop, split="held-out", flip=False)
        teacher = Features.load(options.teacher, LAYERS, Notes(setup.note))
        self.teacher = setup.compile(setup.place(teacher))
        self.model = Compact()
        self._match_teacher()
        setup.place(self.model)
        self.see = setup.compile(self.model.net)
        self.feature_loss, self.gram_loss = ContentLoss(LAYERS), GramLoss(LAYERS)
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=1e-4
        )
        self.updates = (Update(self.model.networks, optimizer, self.loss),)
        size = (options.pool, 3, options.crop_size, options.crop_size)
        self.pool = {
            name: torch.zeros(size, device=setup.device)
            for name in ("picture", "content", "style", "momentum")
        }
        self.left = torch.zeros(options.pool, dtype=torch.int64)  # evaluations until replaced

    def _match_teacher(self) -> None:
        """Give the layers the magnitudes that the teacher has on held-out pictures."""
        pictures = self.held_out.sample(8, self.setup)
        with torch.no_grad():
            seen = self.teacher(pictures)
            for name, channels in zip(LAYERS, CHANNELS, strict=True):
                if seen[name].shape[1] != channels:
                    raise TrainingError(
                        f"--teacher: {name} has {seen[name].shape[1]} channels, must have "
                        f"VGG-19's {channels}"
                    )
            rms = [seen[name].float().square().mean().sqrt().cpu() for name in LAYERS]
            self.model.net.scale.copy_(torch.stack(rms))

    def loss(self, moment: Moment, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Relative distance of features and of Gram matrices, on the batch and on the pool."""
        pictures = self._vary(batch.pictures)
        if self.options.pool and moment.step >= self.options.pool_from:
            pictures = torch.cat([pictures, self._from_pool(batch.pictures)])
        terms = self._terms(pictures)
        return terms["content"] + self.options.gram_weight * terms["gram"], terms

    def _terms(self, pictures: Tensor) -> Mapping[str, Tensor]:
        with self.setup.autocast():
            with torch.no_grad():
                target = self.teacher(pictures)
            found = self.see(pictures)
        return self.feature_loss(found, target) | self.gram_loss(found, target)

    def _vary(self, pictures: Tensor) -> Tensor:
        """Noise on a quarter of the pictures and another picture shining through a sixth."""
        count, device = len(pictures), pictures.device
        noise = torch.randn_like(pictures) * torch.rand(count, 1, 1, 1, device=device) * 0.12
        noisy = torch.rand(count, 1, 1, 1, device=device) < 1 / 4
        mixed = torch.rand(count, 1, 1, 1, device=device) < 1 / 6
        varied = torch.where(mixed, pictures.lerp(pictures.flip(0), 0.5), pictures)
        return torch.where(noisy, varied + noise, varied).clamp(0, 1)

    def _from_pool(self, fresh: Tensor) -> Tensor:
        """Some pictures of the pool, optimised a little further; used-up ones are replaced."""
        chosen = torch.randperm(self.options.pool)[: max(1, len(fresh) // 2)]
        for place, i in enumerate(chosen.tolist()):
            if self.left[i] <= 0:
                self.pool["content"][i], self.pool["style"][i] = fresh[place], fresh[-1 - place]
                self.pool["picture"][i], self.pool["momentum"][i] = fresh[place], 0.0
                self.left[i] = torch.randint(*LIFE, ()).item()
        where = chosen.to(fresh.device)
        picture, content, style, momentum = (
            self.pool[n][where] for n in ("picture", "content", "style", "momentum")
        )
        with torch.no_grad(), self.setup.autocast():
            targets = {n: gram(f) for n, f in self.see(style).items()}
            shapes = self.see(content, ("relu4_1",))
        for _ in range(self.options.pool_steps):
            leaf = picture.detach().requires_grad_()
            with self.setup.autocast():
                seen = self.see(leaf)
            far = ContentLoss(("relu4_1",))(seen, shapes)["content"] * 0.05
            for name in LAYERS:
                off = (gram(seen[name]) - targets[name]).flatten(1).square().sum(1)
                far = far + (off / targets[name].flatten(1).square().sum(1)).mean() / len(LAYERS)
            (slope,) = torch.autograd.grad(far, leaf)
            momentum = 0.8 * momentum + slope / slope.abs().mean().clamp_min(1e-20)
            picture = (picture - STEP * momentum.sign()).clamp(0, 1).detach()
        self.pool["picture"][where] = picture
        self.pool["momentum"][where] = momentum.detach()
        self.left[chosen] -= self.options.pool_steps
        return picture

    def validate(self) -> Mapping[str, float]:
        """Relative distances on held-out pictures, the same every time."""
        pictures = self.held_out.sample(16, self.setup)
        figures = {name: term.item() for name, term in self._terms(pictures).items()}
        return {"score": figures["content"] + self.options.gram_weight * figures["gram"]} | figures

    def preview(self) -> list[Grid]:
        """Pictures of the pool: content, style and what optimisation makes of them."""
        shown = min(6, self.options.pool)
        rows = [self.pool[n][:shown] for n in ("content", "style", "picture")]
        return [Grid([p for row in rows for p in row], columns=shown)] if shown else []

    def state(self) -> Mapping[str, Tensor]:
        return {**self.pool, "left": self.left}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if state["picture"].shape != self.pool["picture"].shape:
            return  # of another size, which --allow-changes let pass: it begins anew
        self.pool = {name: state[name].to(self.setup.device) for name in self.pool}
        self.left = state["left"]
