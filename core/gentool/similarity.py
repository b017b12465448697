"""How near pictures come to others, where no network is needed to tell."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
REACH = 5  # of SSIM's window: 11 pixels a side
BAND = 256  # rows at once: the five planes of a whole photograph would take gigabytes


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio over all colours of pictures (N,3,H,W) in 0..1.

    Returns:
        (N,) decibels; infinite for equal pictures.
    """
    return -10 * (a - b).float().square().mean((1, 2, 3)).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of the luma of pictures (N,3,H,W) in 0..1 (Wang et al. 2004, eq. 13).

    Mean over positions of an 11 x 11 Gaussian window of deviation 1.5; pictures with a shorter
    side are continued by repeating their edge.

    Returns:
        (N,), 1 for equal pictures.
    """
    below, beside = (max(0, 2 * REACH + 1 - side) for side in a.shape[2:])
    if below or beside:
        a, b = (F.pad(p.float(), (0, beside, 0, below), mode="replicate") for p in (a, b))
    rows = a.shape[2] - 2 * REACH
    bands = (slice(top, min(top + BAND, rows) + 2 * REACH) for top in range(0, rows, BAND))
    totals = [_similar(a[:, :, band], b[:, :, band]).sum((1, 2)) for band in bands]
    return torch.stack(totals).sum(0) / (rows * (a.shape[3] - 2 * REACH))


def _similar(a: Tensor, b: Tensor) -> Tensor:
    """SSIM at every position (N,H-10,W-10) of pictures (N,3,H,W)."""
    positions = torch.arange(-REACH, REACH + 1, device=a.device).float()
    window = torch.exp(-(positions**2) / (2 * 1.5**2))
    window /= window.sum()
    luma = torch.tensor(LUMA, device=a.device)
    x, y = (torch.einsum("c,nchw->nhw", luma, pictures.float()) for pictures in (a, b))
    planes = torch.stack([x, y, x * x, y * y, x * y], 1).flatten(0, 1)[:, None]
    smooth = F.conv2d(F.conv2d(planes, window[None, None, None]), window[None, None, :, None])
    mx, my, xx, yy, xy = smooth.reshape(-1, 5, *smooth.shape[2:]).unbind(1)
    covariance, variances = xy - mx * my, xx - mx * mx + yy - my * my
    similar = (2 * mx * my + 0.01**2) * (2 * covariance + 0.03**2)
    most: Tensor = (mx * mx + my * my + 0.01**2) * (variances + 0.03**2)
    return similar / most
