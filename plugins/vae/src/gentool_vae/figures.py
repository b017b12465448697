"""How near a picture comes to another: PSNR and SSIM."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # BT.601


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures (N,3,H,W) in 0..1, as 8 bits: (N,) decibels."""
    a, b = (picture.mul(255).round() / 255 for picture in (a, b))
    return -10 * (a - b).square().mean((1, 2, 3)).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of the luma of pictures (N,3,H,W) in 0..1: (N,).

    Mean over positions of a Gaussian window of deviation 1.5 and side 11, or 7 for pictures too
    small for that (Wang et al. 2004, eq. 13).
    """
    reach = 5 if min(a.shape[2:]) >= 11 else 3
    positions = torch.arange(-reach, reach + 1, device=a.device).float()
    window = torch.exp(-(positions**2) / (2 * 1.5**2))
    window = (window / window.sum())[:, None] * (window / window.sum())
    luma = torch.tensor(LUMA, device=a.device)
    x, y = (torch.einsum("c,nchw->nhw", luma, picture) for picture in (a, b))
    planes = torch.stack([x, y, x * x, y * y, x * y], 1).flatten(0, 1)[:, None]
    smooth = F.conv2d(planes, window[None, None])[:, 0]
    mx, my, xx, yy, xy = (smooth[i::5] for i in range(5))
    covariance = xy - mx * my
    variances = xx - mx * mx + yy - my * my
    similar = (2 * mx * my + 0.01**2) * (2 * covariance + 0.03**2)
    most: Tensor = (mx * mx + my * my + 0.01**2) * (variances + 0.03**2)
    return (similar / most).mean((1, 2))
