"""Content and style losses, on feature maps or on pictures; each a :class:`gentool.Loss`.

Those on feature maps are relative, |prediction - target|^2 / |target|^2 per picture, so that layers
and pictures of very different magnitude weigh alike. All sums are taken in float32, whatever the
features' dtype.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gentool_perceptual.features import Features

FeatureMaps = Mapping[str, Tensor]


def _relative(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of |prediction - target|^2 / |target|^2."""
    p, t = prediction.float().flatten(1), target.float().flatten(1)
    return ((p - t).square().sum(1) / t.square().sum(1).clamp_min(1e-6)).mean()


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Per-channel mean and standard deviation over positions: (N,C,h,w) -> (N,C), (N,C)."""
    flat = features.float().flatten(2)
    # a map of one position, of a small picture's deepest layer, has no spread
    var, mean = torch.var_mean(flat, 2, correction=min(1, flat.shape[2] - 1))
    return mean, (var + 1e-8).sqrt()


def _in_float32(features: Tensor) -> torch.autocast:
    """Matrix products in the body are what the module promises, inside autocast as well."""
    return torch.autocast(features.device.type, enabled=False)


def gram(features: Tensor) -> Tensor:
    """Gram matrix divided by the number of positions (Gatys et al. 2016, eq. 3): (N,C,C)."""
    # positions first: a view of channels_last memory, where the product runs without a copy
    flat = features.float().permute(0, 2, 3, 1).flatten(1, 2)
    product: Tensor = _Symmetric.apply(flat)  # type: ignore[no-untyped-call]
    return product / flat.shape[1]


class _Symmetric(torch.autograd.Function):
    """F^T F of (N,P,C). Its gradient is one product; autograd would take two and their sum."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        ctx.save_for_backward(flat)
        with _in_float32(flat):
            return flat.transpose(1, 2) @ flat

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (flat,) = ctx.saved_tensors
        with _in_float32(flat):
            slope: Tensor = flat @ (gradient + gradient.transpose(1, 2))
        return slope


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


class SlicedWassersteinLoss:
    """Squared Wasserstein distance of features along random directions, relative to the target's
    second moment (Heitz et al. 2021, "A Sliced Wasserstein Loss for Neural Texture Synthesis").

    Args:
        layers: which layers.
        directions: random directions a layer; None takes as many as it has channels.
        generator: where they are drawn from, on the CPU; None is PyTorch's global one.
    """

    def __init__(
        self,
        layers: Iterable[str],
        directions: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.layers, self.directions, self.generator = tuple(layers), directions, generator

    def __call__(self, prediction: FeatureMaps, target: FeatureMaps) -> dict[str, Tensor]:
        """Term ``sliced-wasserstein``; sizes in space may differ between the two sides."""
        terms = [self._layer(prediction[n], target[n]) for n in self.layers]
        return {"sliced-wasserstein": torch.stack(terms).mean()}

    def _layer(self, prediction: Tensor, target: Tensor) -> Tensor:
        channels = prediction.shape[1]
        drawn = torch.randn(self.directions or channels, channels, generator=self.generator)
        slices = torch.nn.functional.normalize(drawn, dim=1).to(prediction.device)
        with _in_float32(slices):
            p, t = ((slices @ f.float().flatten(2)).sort(2).values for f in (prediction, target))
        if p.shape[2] != t.shape[2]:  # compare the same quantiles
            t = torch.nn.functional.interpolate(t, p.shape[2], mode="linear", align_corners=True)
        return ((p - t).square().mean((1, 2)) / t.square().mean((1, 2)).clamp_min(1e-6)).mean()


class PerceptualLoss:
    """Relative distance of pictures in the shallow and deep layers of a feature network
    (Johnson et al. 2016).

    Args:
        features: the network; None takes the packaged one.
        layers: which of its layers, where ``features`` is None.
    """

    def __init__(
        self,
        features: Features | None = None,
        layers: Iterable[str] = ("relu2_1", "relu3_1", "relu4_1"),
    ) -> None:
        if features is None:
            from gentool_perceptual.features import Features

            features = Features.load(layers=layers)
        self.features = features

    def __call__(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Term ``perceptual``; pictures (N,3,H,W) in 0..1."""
        self.features.to(prediction.device)
        p = self.features(prediction)
        with torch.no_grad():
            t = self.features(target)
        return {"perceptual": torch.stack([_relative(p[n], t[n]) for n in p]).mean()}


class L1Loss:
    """Mean absolute difference of pictures."""

    def __call__(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Term ``l1``; both (N,C,H,W)."""
        return {"l1": (prediction.float() - target.float()).abs().mean()}


class L2Loss:
    """Mean squared difference of pictures."""

    def __call__(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Term ``l2``; both (N,C,H,W)."""
        return {"l2": (prediction.float() - target.float()).square().mean()}


class TotalVariationLoss:
    """Mean squared difference of neighbouring pixels (Mahendran & Vedaldi 2015, beta = 2)."""

    def __call__(self, prediction: Tensor, target: object = None) -> dict[str, Tensor]:
        """Term ``total-variation`` of (N,C,H,W); there is nothing to compare with."""
        p = prediction.float()
        down, right = p[..., 1:, :] - p[..., :-1, :], p[..., 1:] - p[..., :-1]
        return {"total-variation": (down.square().sum() + right.square().sum()) / p.numel()}
