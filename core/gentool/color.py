"""Keep the content's colors (Gatys et al. 2016, "Preserving Color in Neural Artistic Style
Transfer", arXiv:1606.05897).
"""

from __future__ import annotations

import torch
from torch import Tensor

# ITU-R BT.601 luma and its inverse, the YIQ space of the paper
_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def keep_luminance(result: Tensor, content: Tensor) -> Tensor:
    """Light and dark of ``result``, colors of ``content``; both (3,H,W) in 0..1 on one device."""
    to_yiq, back = (m.to(content.device) for m in (_TO_YIQ, torch.linalg.inv(_TO_YIQ)))
    yiq = torch.einsum("ij,jhw->ihw", to_yiq, content)
    yiq[0] = torch.einsum("j,jhw->hw", to_yiq[0], result)
    return torch.einsum("ij,jhw->ihw", back, yiq).clamp(0, 1)


def match_colors(style: Tensor, content: Tensor) -> Tensor:
    """``style`` with the mean and covariance of the colors of ``content``.

    Both are (3,H,W) in 0..1 on one device, which must know float64. The linear map of the paper's
    section 3, by matrix square roots. The eigenvalues are floored, so that grey and flat pictures
    give grey and flat ones instead of nan.
    """
    mean_s, cov_s = _moments(style)
    mean_c, cov_c = _moments(content)
    map_ = _power(cov_c, 0.5) @ _power(cov_s, -0.5)
    moved = torch.einsum("ij,jhw->ihw", map_, style.double() - mean_s[:, None, None])
    return (moved + mean_c[:, None, None]).clamp(0, 1).float()


def _moments(picture: Tensor) -> tuple[Tensor, Tensor]:
    total, products = (picture.new_zeros(size, dtype=torch.double) for size in (3, (3, 3)))
    for part in torch.split(picture.flatten(1), 2**20, 1):  # in float64, so not all at once
        flat = part.double()
        total += flat.sum(1)
        products += flat @ flat.T
    mean = total / picture[0].numel()
    return mean, products / picture[0].numel() - mean[:, None] * mean


def _power(covariance: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    power: Tensor = vectors @ torch.diag(values.clamp_min(1e-5) ** exponent) @ vectors.T
    return power
