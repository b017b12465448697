"""Differentiable augmentation of what the discriminator sees (Zhao et al. 2020).

Real and generated pictures are changed alike, so that the discriminator cannot learn a small set
by heart and the generator does not learn to make the changes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 1 / 8  # of the side, at most
HOLE = 1 / 2  # of the side


def augment(pictures: Tensor, policy: Iterable[str]) -> Tensor:
    """(N,3,S,S) in -1..1 changed by each word of ``policy``: color, translation, cutout.

    Every picture draws for itself, from torch's global generator of its device.
    """
    for word in policy:
        pictures = AUGMENTATIONS[word](pictures)
    return pictures


def color(x: Tensor) -> Tensor:
    """Brightness by up to half, saturation and contrast from nothing to twice and half to 1.5."""
    brightness, saturation, contrast = (
        torch.rand(3, len(x), 1, 1, 1, device=x.device, dtype=x.dtype) - 0.5
    )
    x = x + brightness
    grey = x.mean(1, keepdim=True)
    x = torch.lerp(grey, x, 1 + 2 * saturation)
    mean = x.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, x, 1 + contrast)


def translation(x: Tensor) -> Tensor:
    """Shifted by whole pixels, mid grey moving in."""
    reach = round(x.shape[-1] * SHIFT)
    padded = F.pad(x, (reach,) * 4)
    across, down = torch.randint(0, 2 * reach + 1, (2, len(x), 1), device=x.device)
    place = torch.arange(x.shape[-1], device=x.device)
    number = torch.arange(len(x), device=x.device)[:, None, None]
    rows, columns = (down + place)[:, :, None], (across + place)[:, None, :]
    moved: Tensor = padded.permute(0, 2, 3, 1)[number, rows, columns]
    return moved.permute(0, 3, 1, 2).contiguous()  # see gentool.compute.Compute.layout


def cutout(x: Tensor) -> Tensor:
    """A square hole of half the side, anywhere, partly outside as well."""
    side = x.shape[-1]
    hole = round(side * HOLE)
    top = torch.randint(-(hole // 2), side - hole // 2 + 1, (2, len(x), 1), device=x.device)
    place = torch.arange(side, device=x.device)
    down, across = (place >= top) & (place < top + hole)  # each (N,S)
    kept = ~(down[:, :, None] & across[:, None, :])
    return torch.where(kept[:, None], x, x.new_zeros(()))


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}
