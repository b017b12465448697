"""The entropy model while it learns: what each symbol is expected to be, from those before it.

Symbols are coded in parts: channels in groups, from low frequencies to high, and each group first
at the even positions of a chessboard, then at the odd ones (He et al. 2021). A small network for
each part looks at the symbols that are known already and gives a mean and a scale for each that
is not. There is nothing else in a file: no side information. :mod:`gentool_cnn_ae.exact` does the
same in integers, which is what files are written and read with.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gentool_cnn_ae.basis import spectrum
from gentool_cnn_ae.tables import SCALES, SMALLEST, STEP

GROUPS = (1, 1, 2, 4, 4)  # twelfths of the channels
FAR = 255  # symbols beyond count as this in a context
FIRST = math.log(SMALLEST)


def groups(latents: int) -> list[slice]:
    """The channels of each group."""
    ends = itertools.accumulate(GROUPS, initial=0)
    return [slice(a * latents // 12, b * latents // 12) for a, b in itertools.pairwise(ends)]


def chessboard(height: int, width: int, odd: bool, device: torch.device | None = None) -> Tensor:
    """(height,width) bool, true where row + column is odd, or even."""
    sums = torch.arange(height, device=device)[:, None] + torch.arange(width, device=device)
    return (sums % 2 == 1) == odd


def coarseness(deviations: Tensor) -> Tensor:
    """By how many bits each channel's symbols are scaled down in contexts (latents,), 0..5."""
    return (deviations / 3).log2().round().clamp(0, 5)


class Part(nn.Module):
    """Context network: known symbols (N,C,h,w) -> means and scale indices (N,c,h,w) each.

    Args:
        known: channels seen.
        own: range of the channels told about.
        hidden: width of the hidden layers.
        deviations: (latents,) of each channel's latents, at first.
        gains: (levels,) deviations of symbols over those of latents, at first; each quality
            level has biases of its own.
    """

    def __init__(
        self, known: int, own: slice, hidden: int, deviations: Tensor, gains: Tensor
    ) -> None:
        super().__init__()
        levels = len(gains)
        self.first = nn.Conv2d(known, hidden, 3, padding=1)
        self.level = nn.Embedding(levels, hidden)
        self.second = nn.Conv2d(hidden, hidden, 1)
        self.last = nn.Conv2d(hidden, 2 * (own.stop - own.start), 1)
        self.expected = nn.Embedding(levels, 2 * (own.stop - own.start))
        nn.init.normal_(self.level.weight, std=0.1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.expected.weight.copy_(expected(deviations[own], gains))
        bits = coarseness(deviations)
        # in the file, because another machine might round a logarithm in another way
        self.register_buffer("shrink", (2.0 ** -bits[:known])[:, None, None])
        self.register_buffer("grow", (2.0 ** bits[own])[:, None, None])
        self.shrink: Tensor
        self.grow: Tensor

    def forward(self, symbols: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        x = self.first(symbols.clamp(-FAR, FAR) * self.shrink) + _spread(self.level(levels))
        x = self.last(F.relu(self.second(F.relu(x)))) + _spread(self.expected(levels))
        mean, scale = x.chunk(2, 1)
        return mean * self.grow, scale / STEP


def expected(deviations: Tensor, gains: Tensor) -> Tensor:
    """(levels, 2 channels): means of 0, and logarithms of scale over SMALLEST.

    Args:
        deviations: (channels,) of latents.
        gains: (levels,) see :class:`Part`.
    """
    scales = (gains[:, None] * deviations * math.sqrt(3) / math.pi).clamp_min(0.1)
    return torch.cat([torch.zeros_like(scales), scales.log() - FIRST], 1)


def _spread(x: Tensor) -> Tensor:
    return x[:, :, None, None]


class Prior(nn.Module):
    """All parts of the entropy model.

    Args:
        latents: channels, a multiple of 12.
        hidden: width of the context networks.
        gains: (levels,) see :class:`Part`.
    """

    def __init__(self, latents: int, hidden: int, gains: Tensor) -> None:
        super().__init__()
        self.groups = groups(latents)
        levels, deviations = len(gains), spectrum(latents)[1]
        self.start = nn.Embedding(levels, 2 * self.groups[0].stop)
        with torch.no_grad():
            self.start.weight.copy_(expected(deviations[self.groups[0]], gains))
        sizes = hidden, deviations, gains
        self.even = nn.ModuleList(Part(own.start, own, *sizes) for own in self.groups[1:])
        self.odd = nn.ModuleList(Part(own.stop, own, *sizes) for own in self.groups)

    def forward(self, symbols: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Symbols (N,latents,h,w) -> the means and scale indices that coding them would use."""
        means, scales = zip(*self._parts(symbols, levels), strict=True)
        return torch.cat(means, 1), torch.cat(scales, 1)

    def _parts(self, symbols: Tensor, levels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        height, width = symbols.shape[2:]
        odd = chessboard(height, width, odd=True, device=symbols.device)
        for i, own in enumerate(self.groups):
            before = symbols[:, : own.start]
            if i:
                of_even = self.even[i - 1](before, levels)
            else:
                flat = _spread(self.start(levels)).expand(-1, -1, *odd.shape)
                mean, scale = flat.chunk(2, 1)
                of_even = mean, scale / STEP
            seen = torch.cat([before, symbols[:, own] * ~odd], 1)
            of_odd = self.odd[i](seen, levels)
            yield torch.where(odd, of_odd[0], of_even[0]), torch.where(odd, of_odd[1], of_even[1])


def bits(values: Tensor, means: Tensor, scales: Tensor) -> Tensor:
    """Bits that each value costs under a logistic distribution, rounding included.

    The probability of (v - 1/2, v + 1/2) is s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)), where s is
    the sigmoid: in this form nothing cancels, however small it is.

    Args:
        values: symbols; or with uniform noise in place of rounding (Ballé et al. 2017), for the
            gradient of what they are made from.
        means: of the distributions.
        scales: indices of their scales, not whole while training.
    """
    width = torch.exp(-(bounded(scales) * STEP + FIRST))  # 1 / scale
    off = values - means
    nats = F.softplus(-(off + 0.5) * width) + F.softplus((off - 0.5) * width)
    return (nats - torch.log(-torch.expm1(-width))) / math.log(2)


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(0, SCALES - 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        leads_back = torch.where(x < 0, gradient < 0, gradient > 0)
        return gradient * ((x >= 0) & (x <= SCALES - 1) | leads_back).to(gradient)


def bounded(scales: Tensor) -> Tensor:
    """Scale indices within the table of scales.

    Those beyond still learn to come back, which they could not with an ordinary clamp: there a
    rare symbol costs most and would change nothing.
    """
    found: Tensor = _Bounded.apply(scales)  # type: ignore[no-untyped-call]
    return found
