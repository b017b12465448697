"""Ways through a latent space."""

from __future__ import annotations

import torch
from torch import Tensor


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """The vector (L,) a share of the way from ``a`` to ``b``, in angle and in length.

    The straight line between two normal draws passes through a middle where no draw ever lies
    (White 2016, Sampling Generative Networks, arXiv:1609.04468, section 2.1).

    Args:
        a: (L,), where share is 0.
        b: (L,), where it is 1.
        share: 0..1.
    """
    long_a, long_b = (v.norm().clamp(min=1e-12) for v in (a, b))
    cosine = torch.dot(a / long_a, b / long_b).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if angle.sin() < 1e-3:  # the same or opposite, to rounding: there is no one circle
        return torch.lerp(a, b, share)
    weight_a, weight_b = ((1 - share) * angle).sin() / long_a, (share * angle).sin() / long_b
    on_circle: Tensor = (weight_a * a + weight_b * b) / angle.sin()
    return on_circle * torch.lerp(long_a, long_b, share)
