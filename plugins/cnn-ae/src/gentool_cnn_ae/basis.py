"""Where the transforms begin: a 16 x 16 cosine transform of decorrelated colours.

An untrained network would spend most of a short training on finding something like this.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

STRIDE = 16  # pixels a side of what one latent position stands for
COLOURS = ((1, 1, 1), (1, 0, -1), (1, -2, 1))  # light, and two opponent colours; orthogonal
SHARES = (1.0, 0.06, 0.02)  # of the variance of photographs that each of them has, about
DEVIATION = 100.0  # of the mean light of 16 x 16 pixels, in the latents' unit


def spectrum(count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` basis functions with the most variance in photographs, by falling variance.

    The power of photographs falls with the square of the frequency (Field 1987).

    Returns:
        Orthonormal functions (count,3,16,16), and the deviations to expect of their
        coefficients (count,), in units of 16 grey levels.
    """
    steps = torch.arange(STRIDE, dtype=torch.float64)
    cosines = torch.cos(math.pi / STRIDE * (steps[None] + 0.5) * steps[:, None])
    cosines /= cosines.norm(dim=1, keepdim=True)
    colours = torch.tensor(COLOURS, dtype=torch.float64)
    colours /= colours.norm(dim=1, keepdim=True)
    functions = torch.einsum("kc,uy,vx->kuvcyx", colours, cosines, cosines)
    power = 1 / (steps[:, None] ** 2 + steps**2 + 0.25)
    variance = torch.tensor(SHARES, dtype=torch.float64)[:, None, None] * power * 0.25
    order = variance.flatten().argsort(descending=True, stable=True)[:count]
    deviations = DEVIATION * variance.flatten()[order].sqrt()
    return functions.reshape(-1, 3, STRIDE, STRIDE)[order].float(), deviations.float()


def unshuffled(functions: Tensor) -> Tensor:
    """(N,3,16,16) -> (N,768), as two ``pixel_unshuffle(4)`` lay a picture out."""
    return F.pixel_unshuffle(F.pixel_unshuffle(functions, 4), 4).flatten(1)
