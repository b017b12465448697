"""The networks: a residual VAE, and the second stage that makes its samples good.

    picture ─ Encoder ─ mean, variance ─ z ─ Decoder ─ blurred picture, scale of the error
                                         │        └ features ─┐
    Prior (mixture of Gaussians) ────────┘        noise ─ Detail ─ sharp picture

Encoder and decoder are a VAE (Kingma & Welling 2014) and learn from its bound alone. What they
leave open is left to two that never touch them: the prior, which says which latents there are, and
the detail network, which learns what sharp pictures a blurred one may be of.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gentool import WeightsError
from gentool.weights import config_values
from gentool_vae.prior import Prior

COARSEST = 4  # side of the smallest grid
POOLED = 16  # side that the linear path sees
NECK = 40  # channels where the grid becomes one vector: most of the parameters lie there


@dataclass(frozen=True)
class Config:
    """Sizes of the networks.

    Attributes:
        size: side of the pictures, pixels, a power of two.
        latent: numbers that stand for a picture.
        width: channels of the decoder's 16x16 grid; those of the others follow from it.
        noise: channels of noise that details are made from.
        components: Gaussians of the prior.
    """

    size: int = 32
    latent: int = 128
    width: int = 48
    noise: int = 8
    components: int = 10


LIMITS = {
    "size": (16, 256),
    "latent": (1, 1024),
    "width": (8, 512),
    "noise": (1, 64),
    "components": (1, 64),
}


class Posterior(NamedTuple):
    """A diagonal Gaussian over latents, (N,D) each, float32."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw a picture, from PyTorch's global generator if none is given; differentiable."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + noise * (self.log_variance / 2).exp()


class Decoded(NamedTuple):
    """What the decoder says of a picture, and what the detail network goes on from."""

    mean: Tensor  # (N,3,S,S)
    log_scale: Tensor  # (N,3,S,S), of the logistic distribution around the mean
    features: Tensor  # (N,W,S/2,S/2)


def widths(config: Config, share: float) -> list[int]:
    """Channels of the grids from the coarsest, 4x4, to half the size of the pictures."""
    grids = [COARSEST << i for i in range(config.size.bit_length() - 3)]
    wanted = [share * config.width * min(1.25, 16 / grid) for grid in grids]
    return [max(1, round(channels / 8)) * 8 for channels in wanted]


class Block(nn.Module):
    """Residual block of two 3x3 convolutions, the identity to begin with."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight)
        nn.init.normal_(self.second.weight, std=1e-3)
        for conv in (self.first, self.second):
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.second(F.silu(self.first(F.silu(x))))
        return result


class Encoder(nn.Module):
    """Pictures (N,3,S,S) in 0..1 -> mean and logarithm of the variance, (N,D) each."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = widths(config, 0.75)[::-1]  # finest first
        self.stem = nn.Conv2d(12, channels[0], 3, padding=1)
        layers: list[nn.Module] = []
        for here, below in itertools.pairwise(channels):
            layers += [Block(here), nn.Conv2d(here, below, 2, 2)]
        last = channels[-1]
        self.body = nn.Sequential(*layers, Block(last), nn.Conv2d(last, NECK, 1), nn.SiLU())
        self.head = nn.Linear(NECK * COARSEST**2, 2 * config.latent)
        # most of what 128 numbers can say of a picture is linear in its low frequencies
        self.linear = nn.Linear(3 * POOLED**2, config.latent, bias=False)
        nn.init.normal_(self.head.weight, std=1e-2)
        nn.init.normal_(self.linear.weight, std=1 / POOLED)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        x = pictures * 4 - 2  # variance near 1
        h = self.body(self.stem(F.pixel_unshuffle(x, 2)))
        pooled = F.adaptive_avg_pool2d(x, POOLED)
        mean, log_variance = self.head(h.flatten(1)).chunk(2, 1)
        mean = mean + self.linear(pooled.flatten(1))
        # without a limit, one picture early on may ask for exp(100)
        return mean.float(), log_variance.float().clamp(-12, 4)


class Decoder(nn.Module):
    """Latents (N,D) -> :class:`Decoded`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = widths(config, 1.0)
        self.first = nn.Linear(config.latent, NECK * COARSEST**2)
        layers: list[nn.Module] = [nn.Conv2d(NECK, channels[0], 1), Block(channels[0])]
        for here, above in itertools.pairwise(channels):
            layers += [nn.Conv2d(here, 4 * above, 1), nn.PixelShuffle(2), Block(above)]
        self.body = nn.Sequential(*layers)
        self.mean = nn.Conv2d(channels[-1], 12, 3, padding=1)
        self.log_scale = nn.Conv2d(channels[-1], 12, 3, padding=1)
        self.linear = nn.Linear(config.latent, 3 * POOLED**2)
        nn.init.normal_(self.mean.weight, std=1e-3)
        nn.init.normal_(self.log_scale.weight, std=1e-3)
        nn.init.normal_(self.linear.weight, std=1e-2)
        self.size = config.size

    def forward(self, latents: Tensor) -> Decoded:
        h = self.first(latents).unflatten(1, (-1, COARSEST, COARSEST))
        h = F.silu(self.body(h))
        low = self.linear(latents).unflatten(1, (3, POOLED, POOLED)).float()
        if self.size != POOLED:
            low = F.interpolate(low, (self.size, self.size), mode="bilinear", antialias=False)
        mean = low + F.pixel_shuffle(self.mean(h), 2).float()
        # the scale reports how sure the mean is and must not change what is learned about it
        scale = F.pixel_shuffle(self.log_scale(h.detach()), 2).float()
        return Decoded(mean / 4 + 0.5, (scale - 3.2).clamp(-7, 1), h)


class Detail(nn.Module):
    """Adds what the mean of all pictures with one latent cannot have: edges and texture.

    Noise goes in at half and at a quarter of the picture's size, so that the same latent gives
    another sharp picture each time.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        *_, below, here = widths(config, 1.0)
        self.noise = config.noise
        self.enter = nn.Conv2d(here + 12 + config.noise, here, 3, padding=1)
        self.down = nn.Conv2d(here, below, 2, 2)
        self.mix = nn.Conv2d(config.noise, below, 1)
        self.coarse = Block(below)
        self.up = nn.Conv2d(below, 4 * here, 1)
        self.fine = Block(here)
        self.leave = nn.Conv2d(here, 12, 3, padding=1)
        nn.init.normal_(self.leave.weight, std=1e-2)

    def forward(self, decoded: Decoded, noise: tuple[Tensor, Tensor]) -> Tensor:
        """(N,3,S,S) of the decoder's result and noise (N,C,S/2,S/2), (N,C,S/4,S/4)."""
        fine, coarse = noise
        blurred = F.pixel_unshuffle(decoded.mean * 4 - 2, 2)
        x = self.enter(torch.cat([decoded.features, blurred, fine], 1))
        h = self.coarse(self.down(F.silu(x)) + self.mix(coarse))
        x = self.fine(x + F.pixel_shuffle(self.up(F.silu(h)), 2))
        added = F.pixel_shuffle(self.leave(F.silu(x)), 2).float()
        return decoded.mean + added / 4


class VAE(nn.Module):
    """All stages; a :class:`gentool.Model`."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or Config()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)
        self.detail = Detail(self.config)
        self.prior = Prior(self.config.latent, self.config.components)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> VAE:
        values = config_values(config, LIMITS)
        size = values.get("size", Config.size)
        if size & (size - 1):
            raise WeightsError(f"its config has size = {size}, must be a power of two")
        return cls(Config(**values))

    def get_config(self) -> dict[str, Any]:
        return asdict(self.config)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {
            "encoder": self.encoder,
            "decoder": self.decoder,
            "detail": self.detail,
            "prior": self.prior,
        }

    def encode(self, pictures: Tensor) -> Posterior:
        """Pictures (N,3,S,S) in 0..1 -> what is known of their latents."""
        return Posterior(*self.encoder(pictures))

    def decode(self, latents: Tensor) -> Decoded:
        """Latents (N,D) -> the blurred mean picture and how sure it is."""
        decoded: Decoded = self.decoder(latents)
        return decoded

    def noise(
        self,
        count: int,
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What :meth:`sharpen` makes details from, (N,C,S/2,S/2) and (N,C,S/4,S/4).

        Drawn on the CPU unless a device is given, for equal numbers anywhere.
        """
        half, channels = self.config.size // 2, self.config.noise
        fine, coarse = (
            torch.randn(count, channels, side, side, generator=generator, device=device)
            for side in (half, half // 2)
        )
        return fine, coarse

    def sharpen(self, decoded: Decoded, noise: tuple[Tensor, Tensor]) -> Tensor:
        """A sharp picture (N,3,S,S) that the blurred one may be of, one draw."""
        sharp: Tensor = self.detail(decoded, noise)
        return sharp
