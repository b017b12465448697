"""How noisy a picture is, and how much of it to keep where noise was taken out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 16  # side of what is judged at once, beside its eight neighbours, pixels


def noise_of(pixels: Tensor, alpha: Tensor | None = None) -> float:
    """Standard deviation of a picture's noise, 0..1, from what is left of it at the finest scale.

    The median of the diagonal Haar coefficients (Donoho & Johnstone 1994), which edges hardly move.

    Args:
        pixels: (C,H,W) in 0..1. Black and white are passed over: noise is cut off there.
        alpha: (1,H,W) or None; what is transparent is passed over.
    """
    height, width = (n - n % 2 for n in pixels.shape[1:])
    if not height or not width:
        return 0.0
    shown = (pixels > 0) & (pixels < 1)
    if alpha is not None:
        shown &= alpha > 0
    a, b, c, d = F.pixel_unshuffle(pixels[:, None, :height, :width], 2).unbind(1)
    whole = F.pixel_unshuffle(shown[:, None, :height, :width].float(), 2).amin(1) > 0
    seen = (a - b - c + d)[whole]
    return float(seen.abs().median() / 2 / 0.6745) if seen.numel() else 0.0


def kept(pixels: Tensor, denoised: Tensor, deviation: float, alpha: Tensor | None) -> Tensor:
    """What to keep of a noisy picture, and what to take from the denoised one, place by place.

    Their difference holds what the denoiser loses as well as the noise: where that is the larger
    part, as on letters or fine patterns, most of the picture is kept as it was.

    Args:
        pixels: (C,H,W) in 0..1.
        denoised: of the same shape.
        deviation: of the noise, 0..1.
        alpha: (1,H,W) or None; what is transparent is passed over.

    Returns:
        (C,H,W) between the two.
    """
    difference = (pixels - denoised).square().mean(0, keepdim=True)
    shown = torch.ones_like(difference) if alpha is None else (alpha > 0).to(difference)
    around = _around(difference * shown) / _around(shown).clamp_min(1e-6)
    lost = (around - deviation**2).clamp_min(0)
    share = lost / (lost + deviation**2).clamp_min(1e-12)
    height, width = difference.shape[1:]
    share = F.interpolate(share, scale_factor=BLOCK, mode="bilinear")[0, :, :height, :width]
    return torch.lerp(denoised, pixels, share)


def _around(x: Tensor) -> Tensor:
    """Means (1,1,h,w) of blocks of (1,H,W) and their neighbours."""
    blocks = F.avg_pool2d(x[None], BLOCK, ceil_mode=True)
    return F.avg_pool2d(blocks, 3, 1, 1, count_include_pad=False)
