"""How near generated pictures come to real ones, without any trained network.

Features are those of a convolutional network with fixed random weights. Such figures rank the
checkpoints of one training and show a collapse; across methods, trust a trained judge
(benchmarks/gan.py writes samples for one).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WIDTHS = (64, 96, 128)
NEIGHBOURS = 5
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
        """(N,3,S,S) in 0..1 -> features (N,592): means at every depth, and a 4x4 picture."""
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
            "distance": frechet(real, fake),
            "precision": inside(real, fake),
            "recall": inside(fake, real),
            "duplicates": duplicates(real, fake),
        }


def frechet(a: Tensor, b: Tensor) -> float:
    """Squared Fréchet distance of Gaussians fitted to (N,D) and (M,D), percent of a's variance."""
    a, b = a.double().cpu(), b.double().cpu()
    first, second = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    apart = (a.mean(0) - b.mean(0)).square().sum()
    total = first.trace()
    return float((apart + total + second.trace() - 2 * cross) / total * 100)


def inside(reference: Tensor, points: Tensor) -> float:
    """Share of the points within the 5th-neighbour radius of one of the reference."""
    count = min(NEIGHBOURS + 1, len(reference))
    radius = torch.cdist(reference, reference).topk(count, largest=False).values[:, -1]
    return float((torch.cdist(points, reference) <= radius).any(1).float().mean())


def duplicates(real: Tensor, fake: Tensor) -> float:
    """Share of ``fake`` that lie nearer to another than 99 % of ``real`` do to their nearest."""

    def nearest(x: Tensor) -> Tensor:
        return torch.cdist(x, x).fill_diagonal_(float("inf")).min(1).values

    return float((nearest(fake) < nearest(real).quantile(0.01)).float().mean())
