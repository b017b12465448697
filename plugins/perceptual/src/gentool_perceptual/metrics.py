"""Distances of pictures and of sets of pictures in a feature network's eyes.

Each is built with a network, by default the packaged one, and called with prediction and target,
float32 pictures (N,3,H,W) in 0..1; it gives named figures. Figures of different networks cannot be
compared, and none of these is the Inception-based FID.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool import UsageError
from gentool.feature_sets import NEIGHBOURS, coverage, frechet
from gentool_perceptual.compact import LAYERS
from gentool_perceptual.features import Features
from gentool_perceptual.losses import ContentLoss, GramLoss, StatisticsLoss

SET_SIZE = 64  # pixels: the side that pictures of a set are brought to


class _Metric:
    """Keeps the network; computes without gradients."""

    layers: tuple[str, ...] = LAYERS

    def __init__(self, features: Features | None = None) -> None:
        self.features = features or Features.load(layers=self.layers)

    def _see(self, pictures: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            found: dict[str, Tensor] = self.features.to(pictures.device)(pictures)
        return found


class ContentDistance(_Metric):
    """Relative squared distance of relu3_1 and relu4_1; the two sides have one size."""

    layers = ("relu3_1", "relu4_1")

    def __call__(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        loss = ContentLoss(self.layers)
        return {"content": loss(self._see(prediction), self._see(target))["content"].item()}


class StyleDistance(_Metric):
    """Relative squared distance of channel statistics and of Gram matrices, relu1_1 to relu5_1."""

    def __call__(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        p, t = self._see(prediction), self._see(target)
        terms = StatisticsLoss(self.layers)(p, t) | GramLoss(self.layers)(p, t)
        return {name: term.item() for name, term in terms.items()}


class PerceptualDistance(_Metric):
    """Mean distance of unit feature vectors, as LPIPS without its learned weights
    (Zhang et al. 2018, eq. 1); 0 for equal pictures, at most 2, as features are never negative.
    """

    def __call__(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        p, t = self._see(prediction), self._see(target)
        per_layer = [
            (F.normalize(p[n], dim=1) - F.normalize(t[n], dim=1)).square().sum(1).mean()
            for n in self.layers
        ]
        return {"perceptual": torch.stack(per_layer).mean().item()}


class _SetMetric(_Metric):
    layers = ("relu4_1", "relu5_1")

    def embed(self, pictures: Tensor, batch: int = 64) -> Tensor:
        """One float64 vector a picture, (N,1024): spatial means of relu4_1 and relu5_1."""
        size = (SET_SIZE, SET_SIZE)
        rows = []
        for part in torch.split(pictures, batch):
            fits = part.shape[2:] == size
            resized = part if fits else F.interpolate(part, size, mode="bicubic", antialias=True)
            seen = self._see(resized.clamp(0, 1))
            rows.append(torch.cat([seen[n].mean((2, 3)) for n in self.layers], 1).cpu().double())
        return torch.cat(rows)


class FrechetDistance(_SetMetric):
    """Frechet distance of Gaussians fitted to two sets, in percent of the target's variance."""

    def __call__(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        return {"frechet": frechet(self.embed(prediction), self.embed(target))}


class PrecisionRecall(_SetMetric):
    """Share of each set that lies within the other's manifold (Kynkaanniemi et al. 2019)."""

    def __call__(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        if min(len(prediction), len(target)) <= NEIGHBOURS:
            raise UsageError(
                f"precision and recall need more than {NEIGHBOURS} pictures on each side"
            )
        p, t = self.embed(prediction), self.embed(target)
        return {"precision": coverage(p, t), "recall": coverage(t, p)}
