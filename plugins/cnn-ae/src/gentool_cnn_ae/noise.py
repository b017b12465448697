"""How noisy a picture is."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


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
