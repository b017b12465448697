"""A trained generator that another one learns from: distillation.

Li et al., "GAN Compression: Efficient Architectures for Interactive Conditional GANs", 2020: a
small generator learns to make the pictures that a large one makes of the same latents, while a
discriminator, which begins as the large one's, judges them.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gentool import TrainingError, WeightsError, weights
from gentool.training import Setup, take_network
from gentool_gan.discriminators import LAYERS
from gentool_gan.narrowing import narrowed
from gentool_gan.nets import GAN, Config
from gentool_gan.plugin import CARD
from gentool_perceptual.features import Features


class Teacher:
    """A frozen generator, and how far another's pictures are from its own.

    Args:
        source: a training's folder, a safetensors file or a packaged set's name.
        setup: of the training.

    Raises:
        WeightsError: there is no such file, or it is damaged.
    """

    def __init__(self, source: Path, setup: Setup) -> None:
        self.setup = setup
        try:
            self.path = weights.find(CARD, str(source))
            model = weights.load(GAN, self.path, CARD.name)
        except WeightsError as e:
            raise WeightsError(f"--teacher: {e}") from e
        self.config = model.config
        self.generator = setup.place(model.generator.eval().requires_grad_(False))
        self.features = setup.place(Features.load(layers=LAYERS))
        self._generate, self._see = setup.compile(self.generator), setup.compile(self.features)

    def check(self, config: Config) -> None:
        """Whether a generator of ``config`` can learn from this one.

        Raises:
            TrainingError: its pictures are of another size, or latents or classes are others.
        """
        for name in ("net", "size", "latent", "classes"):
            own, other = getattr(self.config, name), getattr(config, name)
            if own != other:
                raise TrainingError(
                    f"--teacher {self.path}: it has {name} {own}, this training {other}; they "
                    "must be the same"
                )

    def distance(self, latents: Tensor, labels: Tensor, pictures: Tensor) -> Tensor:
        """Mean absolute difference of pixels and of features, as shares of the teacher's own.

        Args:
            latents: (N,latent).
            labels: (N,).
            pictures: what the learner made of them, (N,3,S,S) in -1..1.
        """
        with torch.no_grad(), self.setup.autocast():
            wanted = self._generate(latents, labels)
            seen = {"pixels": wanted, **self._see((wanted + 1) / 2)}
        with self.setup.autocast():
            found = {"pixels": pictures, **self._see((pictures + 1) / 2)}
        shares = [
            F.l1_loss(found[name].float(), aim.float()) / aim.float().abs().mean()
            for name, aim in seen.items()
        ]
        return torch.stack(shares).mean()

    def hand_over(self, model: GAN, discriminator: nn.Module) -> None:
        """Let both networks begin as the teacher's: as the strongest channels of its generator,
        and as the discriminator that it learned from, where that is kept and has the same layout.
        """
        widths = model.config.widths
        if all(a <= b for a, b in zip(widths, self.config.widths, strict=True)):
            model.generator.load_state_dict(narrowed(self.generator.state_dict(), widths))
        else:
            self.setup.note(f"the generator begins anew: it is wider than that of {self.path}")
        take_network("discriminator", discriminator, self.path, self.setup.note)
