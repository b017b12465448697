"""The energy score: a loss whose minimum is to draw from the true distribution.

For one real x and two draws a, b given the same condition, (|x-a| + |x-b|)/2 - |a-b|/2 is least in
expectation exactly when the draws are distributed as x is (Gneiting & Raftery 2007, eq. 22; for
networks: Shen & Meinshausen 2024, arXiv:2404.13649). x is a feature vector or a patch here, so it
is their distribution that is matched, not that of whole pictures. A mean squared error would have
its minimum at the mean: a blur. No second network competes, so there is nothing to balance.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean over pictures and positions of the Euclidean distance of feature vectors."""
    return ((a.float() - b.float()).square().sum(1) + 1e-6).sqrt().mean()


def energy_score(real: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The score of feature vectors (N,C,h,w), each position a sample, relative to their size."""
    scale = real.float().square().sum(1).mean().sqrt().clamp_min(1e-6)
    to_real = (_distance(real, first) + _distance(real, second)) / 2
    return (to_real - _distance(first, second) / 2) / scale


def total_score(real: Mapping[str, Tensor], drawn: Mapping[str, Tensor]) -> Tensor:
    """Mean over layers; ``drawn`` has both draws, one after the other, (2N,C,h,w)."""
    scores = [energy_score(real[name], *drawn[name].chunk(2)) for name in real]
    return torch.stack(scores).mean()
