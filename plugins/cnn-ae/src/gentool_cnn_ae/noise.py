"""How noisy a picture is."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def noise_of(pixels: Tensor) -> float:
    """Standard deviation of a picture's noise, 0..1, from what is left of it at the finest scale.

    The median of the diagonal Haar coefficients (Donoho & Johnstone 1994), which edges hardly move.
    """
    height, width = (n - n % 2 for n in pixels.shape[1:])
    if not height or not width:
        return 0.0
    a, b, c, d = F.pixel_unshuffle(pixels[:, None, :height, :width], 2).unbind(1)
    return float((a - b - c + d).abs().median() / 2 / 0.6745)
