"""Channel statistics of features: what the network keeps of a style, and AdaIN itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

Features = tuple[Tensor, Tensor]  # at 1/4 and at 1/8, (N,width4,H/4,W/4), (N,width8,H/8,W/8)


class Shares(NamedTuple):
    """How much of each of K styles goes into a place: (K,h,w), sum 1, at 1/2, 1/4 and 1/8."""

    at2: Tensor
    at4: Tensor
    at8: Tensor


class Style(NamedTuple):
    """What the network keeps of a style: channel means and deviations at 1/4 and 1/8.

    Each is (N,C); a weighted sum of styles is a style between them. Where a picture has a style
    for each of K regions, each is (K,C) and goes with the regions' :data:`Shares`.
    """

    mean4: Tensor
    std4: Tensor
    mean8: Tensor
    std8: Tensor

    def to(self, device: torch.device) -> Style:
        return Style(*(t.to(device) for t in self))

    def towards(self, other: Style, share: float) -> Style:
        """The style that lies ``share`` of the way from this one to ``other``."""
        pairs = zip(self, other, strict=True)
        return Style(*(a.lerp(b, share) for a, b in pairs))

    @classmethod
    def of(cls, features: Features) -> Style:
        """The statistics of encoder features, in float32."""
        return cls.from_moments(*(moment for f in features for moment in moments(f)))

    @classmethod
    def from_moments(cls, mean4: Tensor, square4: Tensor, mean8: Tensor, square8: Tensor) -> Style:
        """From the means of features and of their squares, each (N,C)."""
        # 1e-3 (features have a variance near 1) bounds the gain of a flat content
        std4, std8 = (
            (square - mean * mean).clamp_min(0).add(1e-3).sqrt()
            for mean, square in ((mean4, square4), (mean8, square8))
        )
        return cls(*(t.float() for t in (mean4, std4, mean8, std8)))


def moments(features: Tensor, counted: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Means over positions of (N,C,h,w) and of its squares, each (N,C), in float32.

    Takes a twentieth of the time of ``torch.var_mean``, which is slow with channels last. With
    ``counted`` (K,h,w), how much each position counts in K regions, those of each region, (K,C).
    """
    f = features.float()
    if counted is None:
        return f.mean((2, 3)), (f * f).mean((2, 3))
    weights = counted.flatten(1)
    weights = weights / weights.sum(1, keepdim=True).clamp_min(1e-6)
    positions = f[0].flatten(1).T
    return weights @ positions, weights @ (positions * positions)


class Total:
    """Statistics of one picture whose features come in parts, summed in float64."""

    def __init__(self) -> None:
        self.weights: list[Any] = [0.0, 0.0]
        self.sums: list[Any] = [0.0, 0.0, 0.0, 0.0]

    def add(self, features: Features, counted: Sequence[Tensor] | None = None) -> None:
        """Features of a part, and how much they count (K,h,w) in K regions, at 1/4 and 1/8."""
        for i, f in enumerate(features):
            count = counted[i].to(f.device) if counted else None
            # on the CPU: not every accelerator has float64
            weight = f[0, 0].numel() if count is None else count.sum((1, 2))[:, None].cpu().double()
            self.weights[i] += weight
            for j, moment in enumerate(moments(f, count)):
                self.sums[2 * i + j] += moment.cpu().double() * weight

    def style(self) -> Style:
        """The statistics of all parts together, on the CPU: (1,C), or (K,C) of regions."""
        weights = [w.clamp_min(1e-6) if isinstance(w, Tensor) else w for w in self.weights]
        return Style.from_moments(*(s / weights[i // 2] for i, s in enumerate(self.sums)))


def spread(values: Tensor, x: Tensor, shares: Shares | None) -> Tensor:
    """Values (N,C) of pictures, as they go with features ``x`` (N,C,h,w).

    Without shares (N,C,1,1); with them, ``values`` (K,C) of styles become a map (1,C,h,w).
    """
    if shares is None:
        return values[:, :, None, None].to(x.dtype)
    share = next(s for s in shares if s.shape[1:] == x.shape[2:])
    return torch.einsum("kc,khw->chw", values.to(share.dtype), share)[None].to(x.dtype)


def adain(
    features: Tensor,
    mean: Tensor,
    std: Tensor,
    to_mean: Tensor,
    to_std: Tensor,
    shares: Shares | None = None,
) -> Tensor:
    """AdaIN(x, y) = std(y) (x - mean(x)) / std(x) + mean(y), eq. 8 of the paper, per channel.

    In float32, the mean taken away first: of a smooth picture's features little else is left, which
    bfloat16 would round away, to other colours.
    """
    f = features.float()
    centred = f - spread(mean, f, shares)
    found = torch.addcmul(spread(to_mean, f, shares), centred, spread(to_std / std, f, shares))
    return found.to(features.dtype)
