"""The codec: transforms, gains for each quality, entropy model and its frozen tables.

    picture ─ Encoder ─ gain ─ round ─ symbols ─ range coder (Prior) ─ file
    file ─ range coder (Prior) ─ symbols ─ 1/gain ─ Decoder ─ picture

One network has all qualities: each has a gain for every channel (Cui et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gentool import WeightsError
from gentool.weights import config_values
from gentool_cnn_ae.options import LEVELS
from gentool_cnn_ae.prior import Prior
from gentool_cnn_ae.tables import logistic
from gentool_cnn_ae.transforms import Decoder, Encoder

FIRST_LAMBDA, LAST_LAMBDA = 0.0009, 0.055  # bits a pixel for a squared error of one grey level


def lambdas() -> Tensor:
    """(LEVELS,) what a squared error costs at each quality, in bits a pixel."""
    return torch.logspace(0, 1, LEVELS, LAST_LAMBDA / FIRST_LAMBDA) * FIRST_LAMBDA


@dataclass(frozen=True)
class Config:
    """Sizes of the networks; saved with the weights.

    Attributes:
        width4, width8, width16: channels at 1/4, 1/8 and 1/16 of the picture's size.
        latents: channels that are coded, a multiple of 12.
        hidden: width of the entropy model's networks.
    """

    width4: int = 48
    width8: int = 96
    width16: int = 160
    latents: int = 288
    hidden: int = 48


LIMITS = {
    "width4": (1, 512),
    "width8": (1, 1024),
    "width16": (1, 2048),
    "latents": (12, 768),
    "hidden": (1, 1024),
}


class Gains(nn.Module):
    """Each quality's step sizes: latents times ``exp(log)`` are what is rounded."""

    def __init__(self, latents: int) -> None:
        super().__init__()
        # best step of a uniform quantiser, as in H.264 (Sullivan & Wiegand 1998), units of 16
        steps = (22.4 / lambdas()).sqrt() / 16
        self.log = nn.Parameter(-steps.log()[:, None].repeat(1, latents))

    def forward(self, levels: Tensor) -> Tensor:
        """(N,) -> (N,latents,1,1)."""
        return self.log[levels].exp()[:, :, None, None]


class Tables(nn.Module):
    """The range coder's counts, see :mod:`gentool_cnn_ae.tables`."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("counts", logistic())
        self.counts: Tensor


class CnnAe(nn.Module):
    """The whole codec; a :class:`gentool.Model`."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = c = config or Config()
        widths = (c.width4, c.width8, c.width16)
        self.encoder = Encoder(widths, c.latents)
        self.decoder = Decoder(widths, c.latents, LEVELS)
        self.gains = Gains(c.latents)
        self.prior = Prior(c.latents, c.hidden, self.gains.log.detach()[:, 0].exp())
        self.tables = Tables()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CnnAe:
        values = config_values(config, LIMITS)
        if values.get("latents", 12) % 12:
            raise WeightsError(f"its config has latents = {values['latents']}, must be twelves")
        return cls(Config(**values))

    def get_config(self) -> dict[str, Any]:
        return asdict(self.config)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {
            "encoder": self.encoder,
            "decoder": self.decoder,
            "gains": self.gains,
            "prior": self.prior,
            "tables": self.tables,
        }


def rounded(x: Tensor) -> Tensor:
    """Rounded, with the gradient of the identity."""
    return x + (x.detach().round() - x.detach())


def uniform_noise(x: Tensor) -> Tensor:
    """-1/2..1/2, what rounding is while rates are learnt (Ballé et al. 2017)."""
    return torch.rand_like(x) - 0.5
