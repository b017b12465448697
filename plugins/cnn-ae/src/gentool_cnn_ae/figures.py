"""How near a picture is to another, and how noisy one is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


def psnr(a: Tensor, b: Tensor) -> float:
    """Decibels between two pictures (3,H,W) in 0..1, over all colours; infinite for equal ones."""
    return float(-10 * (a - b).double().square().mean().log10())


def ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity of the luma of two pictures (3,H,W) in 0..1.

    Mean over positions of an 11 x 11 Gaussian window of deviation 1.5 (Wang et al. 2004, eq. 13);
    pictures with a shorter side are continued by repeating their edge.
    """
    positions = torch.arange(-5.0, 6.0)
    window = torch.exp(-(positions**2) / (2 * 1.5**2))
    window /= window.sum()
    x, y = (torch.einsum("c,chw->hw", torch.tensor(LUMA), p) for p in (a, b))
    planes = torch.stack([x, y, x * x, y * y, x * y])[:, None]
    short = [max(0, 11 - n) for n in planes.shape[2:]]
    planes = F.pad(planes, (0, short[1], 0, short[0]), mode="replicate")
    planes = F.conv2d(F.conv2d(planes, window[None, None, None]), window[None, None, :, None])
    mx, my, xx, yy, xy = planes.unbind()
    covariance, variances = xy - mx * my, xx - mx * mx + yy - my * my
    similar = (2 * mx * my + 0.01**2) * (2 * covariance + 0.03**2)
    return float((similar / ((mx * mx + my * my + 0.01**2) * (variances + 0.03**2))).mean())


def noise_of(pixels: Tensor) -> float:
    """Standard deviation of a picture's noise, 0..1, from what is left of it at the finest scale.

    The median of the diagonal Haar coefficients (Donoho & Johnstone 1994), which edges hardly move.
    """
    height, width = (n - n % 2 for n in pixels.shape[1:])
    if not height or not width:
        return 0.0
    a, b, c, d = F.pixel_unshuffle(pixels[:, None, :height, :width], 2).unbind(1)
    return float((a - b - c + d).abs().median() / 2 / 0.6745)
