"""How near generated pictures come to real ones, without any trained network.

Features are those of a convolutional network with fixed random weights. Such figures rank the
checkpoints of one training and show a collapse; across methods, trust a trained judge
(benchmarks/gan.py writes samples for one).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool.feature_sets import coverage, duplicates, frechet

WIDTHS = (64, 96, 128)
BATCH = 250


class Judge:
    """Embeds pictures and compares sets of them.

    Args:
        device: where to compute.
    """

    def __init__(self, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        self.kernels, width = [], 3
        for out in WIDTHS:
            kernel = torch.randn(out, width, 3, 3, generator=generator) * (2 / (9 * width)) ** 0.5
            kernel -= kernel.mean((1, 2, 3), keepdim=True) / 2  # edges more than brightness
            self.kernels.append(kernel.to(device))
            width = out

    @torch.no_grad()
    def embed(self, pictures: Tensor) -> Tensor:
        """(N,3,S,S) in 0..1 -> features (N,336): means at every depth, and a 4x4 picture."""
        return torch.cat([self._embed(part) for part in torch.split(pictures, BATCH)])

    def _embed(self, x: Tensor) -> Tensor:
        x = x.float()
        found = [2 * F.adaptive_avg_pool2d(x, 4).flatten(1)]
        x = 4 * (x - 0.45)
        for kernel in self.kernels:
            x = F.leaky_relu(F.conv2d(x, kernel, stride=2, padding=1), 0.2)
            found += [x.mean((2, 3))]
        return torch.cat(found, 1)

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Figures of two sets of features (N,D) and (M,D).

        Returns:
            ``distance``: Fréchet distance of Gaussians, in percent of the real set's variance;
            ``precision`` and ``recall``: shares inside the other set's manifold (Kynkäänniemi et
            al. 2019); ``duplicates``: share of the generated pictures that have a twin among them.
        """
        return {
            "distance": frechet(fake, real),
            "precision": coverage(fake, real),
            "recall": coverage(real, fake),
            "duplicates": duplicates(fake, real),
        }
