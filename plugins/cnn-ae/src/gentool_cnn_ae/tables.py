"""Probability tables of the range coder: integers that add up to 2^16, frozen into the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOTAL = 1 << 16
SCALES = 48  # scale k of the logistic distribution is SMALLEST exp(k STEP), in symbols
SMALLEST = 0.04
STEP = 0.146974  # so that the largest is about 40
SHIFTS = 8  # means are told to an eighth of a symbol
BELIEF = 500.0  # symbols that the logistic distribution counts for beside those seen

Counts = NDArray[np.int64]


def radius(scale: int) -> int:
    """Symbols each side of the rounded mean that have a count of their own; those beyond escape."""
    return math.ceil(8 * SMALLEST * math.exp(scale * STEP)) + 2


def shape() -> Iterator[tuple[int, int, slice]]:
    """Scale, shift and place of each table in the one row that holds them all."""
    start = 0
    for scale in range(SCALES):
        for shift in range(SHIFTS):
            stop = start + 2 * radius(scale) + 2
            yield scale, shift, slice(start, stop)
            start = stop


def logistic() -> Tensor:
    """The tables of the logistic distribution, one behind the other, int32.

    A table has a count for each symbol from -radius to radius around the rounded mean, and a last
    one for all beyond. Shift t means that the mean is (t - 4) / 8 above the rounded one.
    """
    return torch.cat([torch.from_numpy(_table(k, t)) for k, t, _ in shape()]).to(torch.int32)


class Fitted:
    """Tables that learn from symbols how often each comes where a scale and shift are expected."""

    def __init__(self) -> None:
        self._places = list(shape())
        self._starts = torch.tensor([place.start for _, _, place in self._places])
        self._radii = torch.tensor([radius(scale) for scale in range(SCALES)])
        self._seen = torch.zeros(self._places[-1][2].stop, dtype=torch.int64)

    def add(self, symbols: Tensor, means: Tensor, scales: Tensor) -> None:
        """Take in symbols, and what was expected of them, tensors of one shape."""
        eighths = (means.flatten().cpu() * SHIFTS + 0.5).floor().long()
        index = (scales.flatten().cpu() + 0.5).floor().long().clamp(0, SCALES - 1)
        centre = (eighths + SHIFTS // 2) >> 3
        off = symbols.flatten().cpu().long() - centre
        radii = self._radii[index]
        letters = torch.where(off.abs() > radii, 2 * radii + 1, off + radii)
        tables = index * SHIFTS + eighths - SHIFTS * centre + SHIFTS // 2
        self._seen += torch.bincount(self._starts[tables] + letters, minlength=len(self._seen))

    def counts(self) -> Tensor:
        """The tables, as :func:`logistic` lays them out."""
        seen = self._seen.numpy().astype(np.float64)
        made = []
        for scale, shift, place in self._places:
            found = seen[place].copy()
            if shift:  # the mirror of a mean above is one below
                twin = seen[self._places[scale * SHIFTS + SHIFTS - shift][2]]
                found += np.append(twin[-2::-1], twin[-1])
            ideal = _table(scale, shift) / TOTAL
            made.append(whole(found + BELIEF * ideal))
        return torch.from_numpy(np.concatenate(made)).to(torch.int32)


def _table(scale: int, shift: int) -> Counts:
    mean, size = (shift - SHIFTS // 2) / SHIFTS, SMALLEST * math.exp(scale * STEP)
    edges = (np.arange(-radius(scale), radius(scale) + 2) - 0.5 - mean) / size
    inside = np.diff(0.5 * (1 + np.tanh(edges / 2)))
    return whole(np.append(inside, 1 - inside.sum()))


def whole(probabilities: NDArray[np.float64]) -> Counts:
    """Counts of at least 1 that add up to 2^16; the largest takes what rounding leaves."""
    spare = TOTAL - len(probabilities)
    counts = 1 + np.floor(probabilities.clip(0) / probabilities.clip(0).sum() * spare)
    found: Counts = counts.astype(np.int64)
    found[found.argmax()] += TOTAL - found.sum()
    return found
