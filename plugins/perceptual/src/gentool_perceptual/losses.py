"""Content and style losses on feature maps, each relative to its target's size.

Relative means |prediction - target|^2 / |target|^2 per picture, so that layers and pictures of
very different magnitude weigh alike. All sums are taken in float32, whatever the features' dtype.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

FeatureMaps = Mapping[str, Tensor]


def _relative(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of |prediction - target|^2 / |target|^2."""
    p, t = prediction.float().flatten(1), target.float().flatten(1)
    return ((p - t).square().sum(1) / t.square().sum(1).clamp_min(1e-6)).mean()


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Per-channel mean and standard deviation over positions: (N,C,h,w) -> (N,C), (N,C)."""
    flat = features.float().flatten(2)
    var, mean = torch.var_mean(flat, 2)
    return mean, (var + 1e-8).sqrt()


def gram(features: Tensor) -> Tensor:
    """Gram matrix divided by the number of positions (Gatys et al. 2016, eq. 3): (N,C,C)."""
    # positions first: a view of channels_last memory, where the product runs without a copy
    flat = features.float().permute(0, 2, 3, 1).flatten(1, 2)
    return flat.transpose(1, 2) @ flat / flat.shape[1]


class ContentLoss:
    """Relative distance of feature maps, averaged over ``layers`` (Gatys et al. 2016, eq. 1)."""

    def __init__(self, layers: Iterable[str] = ("relu3_1", "relu4_1")) -> None:
        self.layers = tuple(layers)

    def __call__(self, prediction: FeatureMaps, target: FeatureMaps) -> dict[str, Tensor]:
        """Term ``content``; both sides hold (N,C,h,w) maps of equal size."""
        terms = [_relative(prediction[n], target[n]) for n in self.layers]
        return {"content": torch.stack(terms).mean()}


class StatisticsLoss:
    """Relative distance of channel means and deviations (Huang & Belongie 2017, eq. 13)."""

    def __init__(self, layers: Iterable[str]) -> None:
        self.layers = tuple(layers)

    def __call__(self, prediction: FeatureMaps, target: FeatureMaps) -> dict[str, Tensor]:
        """Term ``style``; sizes in space may differ between the two sides."""
        terms = []
        for name in self.layers:
            p = torch.cat(statistics(prediction[name]), 1)
            t = torch.cat(statistics(target[name]), 1)
            terms.append(_relative(p, t))
        return {"style": torch.stack(terms).mean()}


class GramLoss:
    """Relative distance of Gram matrices (Gatys et al. 2016, eq. 4-5)."""

    def __init__(self, layers: Iterable[str]) -> None:
        self.layers = tuple(layers)

    def __call__(self, prediction: FeatureMaps, target: FeatureMaps) -> dict[str, Tensor]:
        """Term ``gram``; sizes in space may differ between the two sides."""
        terms = [_relative(gram(prediction[n]), gram(target[n])) for n in self.layers]
        return {"gram": torch.stack(terms).mean()}
