"""A metric that needs no network: how alike the edges of two pictures are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STABILITY = 170 / 255**2  # the paper's c = 170 is for values 0..255


class Gmsd:
    """Gradient magnitude similarity deviation (Xue et al. 2014); 0 for equal pictures."""

    def __call__(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """Figure ``gmsd``, mean over the batch; both sides (N,3,H,W) in 0..1."""
        a, b = self._magnitude(prediction), self._magnitude(target)
        similarity = (2 * a * b + STABILITY) / (a.square() + b.square() + STABILITY)
        return {"gmsd": similarity.flatten(1).std(1, correction=0).mean().item()}

    def _magnitude(self, pictures: Tensor) -> Tensor:
        """Prewitt gradients of the luminance at half the size, (N,1,H/2,W/2)."""
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        grey = (pictures.detach().float().cpu() * weights).sum(1, keepdim=True)
        half = F.avg_pool2d(grey, 2, ceil_mode=True)
        across = torch.tensor([[1.0, 0.0, -1.0]]).expand(3, 3) / 3
        kernels = torch.stack([across, across.T])[:, None]  # (2,1,3,3)
        padded = F.pad(half, (1, 1, 1, 1), mode="replicate")
        return F.conv2d(padded, kernels).square().sum(1, keepdim=True).sqrt()
