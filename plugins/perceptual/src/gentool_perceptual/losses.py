"""Content and style losses, on feature maps or on pictures; each a :class:`gentool.Loss`.

Those on feature maps are relative, |prediction - target|^2 / |target|^2 per picture, so that layers
and pictures of very different magnitude weigh alike. All sums are taken in float32, whatever the
features' dtype.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gentool_perceptual.features import Features

FeatureMaps = Mapping[str, Tensor]
CACHED = 1 << 18  # numbers whose float32 copy stays in the cache of a processor's core


def _relative(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of |prediction - target|^2 / |target|^2, each (N,...); float32."""
    p, t, each = prediction.float(), target.float(), tuple(range(1, prediction.dim()))
    # no flatten(), which copies channels-last features in another order
    return ((p - t).square().sum(each) / t.square().sum(each).clamp_min(1e-6)).mean()


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Per-channel mean and standard deviation over positions: (N,C,h,w) -> (N,C), (N,C)."""
    mean, deviation = _Statistics.apply(features)  # type: ignore[no-untyped-call]
    return mean, deviation


def _positions(features: Tensor) -> Tensor:
    """(N,C,h,w) -> (N,h*w,C): a view of channels-last memory, where products run without a copy."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def _turns(batch: Tensor) -> Iterator[slice]:
    """Parts to bring to float32 in turn: on a CPU one picture each, which stays in its cache."""
    together = 1 if batch.device.type == "cpu" else len(batch)
    return (slice(i, i + together) for i in range(0, len(batch), together))


def _parts(flat: Tensor) -> Sequence[Tensor]:
    """(N,P,C) as parts whose float32 copies stay in a CPU's cache."""
    on_cpu, (_, positions, channels) = flat.device.type == "cpu", flat.shape
    return torch.split(flat, max(1, CACHED // channels) if on_cpu else positions, 1)


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack([*parts]).sum(0)


class _Statistics(torch.autograd.Function):
    """Keeps the features alone for its gradient, in their own dtype.

    Autograd would keep several copies in float32, whose traffic takes longer than the
    convolutions before them in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        positions = features.shape[2] * features.shape[3]
        rest = max(1, positions - 1)  # one position, of a small picture's deepest layer: no spread
        means, variances = [], []
        for turn in _turns(features):
            parts = _parts(_positions(features[turn]))
            mean = _sum(part.float().sum(1) for part in parts) / positions
            squares = ((part - mean[:, None]).square_().sum(1) for part in parts)
            means.append(mean)
            variances.append(_sum(squares) / rest)
        mean, deviation = torch.cat(means), torch.cat(variances).add_(1e-8).sqrt_()
        ctx.save_for_backward(features, mean, deviation)
        ctx.rest = rest
        return mean, deviation

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, of_deviation: Tensor) -> Tensor:
        features, mean, deviation = ctx.saved_tensors
        slope = of_deviation / (deviation * ctx.rest)
        shift = of_mean / (features.shape[2] * features.shape[3]) - slope * mean
        gradient: Tensor = _scaled(features, slope, shift)
        return gradient


def _scaled(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``features`` (N,C,h,w) by ``scale`` plus ``shift``, both (N,C), in the features' dtype."""
    scale, shift = (t.to(features.dtype)[:, :, None, None] for t in (scale, shift))
    return torch.addcmul(shift, features, scale)


def _in_float32(features: Tensor) -> torch.autocast:
    """Matrix products in the body are what the module promises, inside autocast as well."""
    return torch.autocast(features.device.type, enabled=False)


def gram(features: Tensor) -> Tensor:
    """Gram matrix divided by the number of positions (Gatys et al. 2016, eq. 3): (N,C,C)."""
    flat = _positions(features)
    product: Tensor = _Symmetric.apply(flat)  # type: ignore[no-untyped-call]
    return product / flat.shape[1]


class _Symmetric(torch.autograd.Function):
    """F^T F of (N,P,C). Its gradient is one product; autograd would take two and their sum."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        ctx.save_for_backward(flat)
        with _in_float32(flat):
            parts = (flat[turn].float() for turn in _turns(flat))
            return torch.cat([part.transpose(1, 2) @ part for part in parts])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (flat,) = ctx.saved_tensors
        both = gradient + gradient.transpose(1, 2)
        with _in_float32(flat):
            parts = ((flat[turn].float() @ both[turn]).to(flat.dtype) for turn in _turns(flat))
            return torch.cat([*parts])


class ContentLoss:
    """Relative distance of feature maps, averaged over ``layers`` (Gatys et al. 2016, eq. 1)."""

    def __init__(self, layers: Iterable[str] = ("relu3_1", "relu4_1")) -> None:
        self.layers = tuple(layers)

    def __call__(self, prediction: FeatureMaps, target: FeatureMaps) -> dict[str, Tensor]:
        """Term ``content``; both sides hold (N,C,h,w) maps of equal size."""
        terms = [_relative(prediction[n], target[n]) for n in self.layers]
        return {"content": torch.stack(terms).mean()}


class _SummaryLoss(ABC):
    """Relative distance of what a subclass keeps of feature maps, averaged over ``layers``."""

    def __init__(self, layers: Iterable[str]) -> None:
        self.layers = tuple(layers)

    @abstractmethod
    def _of(self, features: Tensor) -> Tensor:
        """What counts of a layer's maps (N,C,h,w): (N,...), whatever h and w."""

    def summary(self, features: FeatureMaps) -> dict[str, Tensor]:
        """What counts of each layer, to be compared once or, a target's, many times."""
        return {name: self._of(features[name]) for name in self.layers}

    def compare(self, prediction: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """The distance of two summaries, a scalar."""
        return torch.stack([_relative(prediction[n], target[n]) for n in self.layers]).mean()


class StatisticsLoss(_SummaryLoss):
    """Relative distance of channel means and deviations (Huang & Belongie 2017, eq. 13)."""

    def _of(self, features: Tensor) -> Tensor:
        return torch.cat(statistics(features), 1)

    def __call__(self, prediction: FeatureMaps, target: FeatureMaps) -> dict[str, Tensor]:
        """Term ``style``; sizes in space may differ between the two sides."""
        return {"style": self.compare(self.summary(prediction), self.summary(target))}


class GramLoss(_SummaryLoss):
    """Relative distance of Gram matrices (Gatys et al. 2016, eq. 4-5)."""

    def _of(self, features: Tensor) -> Tensor:
        return gram(features)

    def __call__(self, prediction: FeatureMaps, target: FeatureMaps) -> dict[str, Tensor]:
        """Term ``gram``; sizes in space may differ between the two sides."""
        return {"gram": self.compare(self.summary(prediction), self.summary(target))}


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
