"""The entropy model in whole numbers: every machine finds the same tables for the same symbols.

The context networks of :mod:`gentool_cnn_ae.prior`, in fixed point. The arithmetic runs in float64,
where sums and products of whole numbers below 2^53 are exact whatever the order, so that neither
threads nor libraries matter (Ballé et al. 2019 with other means). FORMAT.md says it step by step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gentool import WeightsError
from gentool_cnn_ae.prior import FAR, Part, Prior
from gentool_cnn_ae.tables import SCALES, SHIFTS, STEP

ONE = 2.0**16  # the fixed point of weights
FINE = 2.0**8  # and of activations,
TOP = 2.0**22  # which end here
FARTHEST = 2.0**18  # of a mean, in eighths
EXACT = 2.0**52
CHUNK = 2048  # positions at a time

Whole = NDArray[np.int64]
Guess = tuple[Whole, Whole]  # means in eighths of a symbol, and scale indices


@dataclass
class ExactPart:
    """One context network for one quality.

    Attributes:
        first: (9 known, hidden) of a 3x3 neighbourhood, row by row, channels within.
        second: (hidden, hidden).
        last: (hidden, 2 own): means in eighths, then scale indices.
        biases: of the three, at the fixed point of their sums.
    """

    first: Tensor
    second: Tensor
    last: Tensor
    biases: tuple[Tensor, Tensor, Tensor]

    @classmethod
    def of(cls, part: Part, level: int) -> ExactPart:
        """Round a network to fixed point.

        Raises:
            WeightsError: a sum could leave what float64 adds exactly.
        """
        grow = _double(part.grow).flatten()
        units = torch.cat([grow * SHIFTS, torch.full_like(grow, 1 / STEP)])
        first = _double(part.first.weight) * _double(part.shrink)
        second, last = (_double(x.weight)[:, :, 0, 0] for x in (part.second, part.last))
        around = _double(part.first.bias) + _double(part.level.weight)[level]
        outside = _double(part.last.bias) + _double(part.expected.weight)[level]
        made = cls(
            _fixed(first.permute(2, 3, 1, 0).flatten(0, 2)),
            _fixed(second.T),
            _fixed((last * units[:, None]).T),
            (
                _fixed(around),
                _fixed(_double(part.second.bias) * FINE),
                _fixed(outside * units * FINE),
            ),
        )
        for weight, bias, top in zip(made.layers, made.biases, (FAR, TOP, TOP), strict=True):
            most = (weight.abs().sum(0) * top + bias.abs()).max()
            if not most < EXACT:  # also true for nan
                raise WeightsError("its entropy model has weights too large for exact arithmetic")
        return made

    @property
    def layers(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.first, self.second, self.last

    def __call__(self, known: Tensor, at: Tensor) -> Guess:
        """Means and scale indices (positions, own).

        Args:
            known: (h + 2, w + 2, known) float64 symbols within -255..255, a frame of zeros around.
            at: (positions,) where, counted in rows of w + 2, the frame included.
        """
        width, channels = known.shape[1], known.shape[2]
        rows = known.reshape(-1, channels)
        steps = torch.tensor([dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
        found = [self._look(rows, where[:, None] + steps) for where in torch.split(at, CHUNK)]
        means, scales = torch.cat(found).numpy().astype(np.int64).T.copy().reshape(2, -1, len(at))
        return means.T, scales.T.clip(0, SCALES - 1)

    def _look(self, rows: Tensor, around: Tensor) -> Tensor:
        of_first, of_second, of_last = self.biases
        # an eighth of the time that rows[around] takes
        x = rows.index_select(0, around.flatten()).view(len(around), -1) @ self.first + of_first
        x = (x.clamp_(0, TOP * FINE) * (1 / FINE)).floor_()
        x = x @ self.second + of_second
        x = (x.clamp_(0, TOP * ONE) * (1 / ONE)).floor_()
        x = x @ self.last + of_last
        return (x * (1 / (ONE * FINE)) + 0.5).floor_().clamp_(-FARTHEST, FARTHEST)


class ExactPrior:
    """The whole entropy model for one quality."""

    def __init__(self, prior: Prior, level: int) -> None:
        self.groups = prior.groups
        means, scales = _double(prior.start.weight)[level].chunk(2)
        self._start = [
            (x * units + 0.5).floor().clamp(-FARTHEST, FARTHEST).numpy().astype(np.int64)
            for x, units in ((means, SHIFTS), (scales, 1 / STEP))
        ]
        self._even = [ExactPart.of(part, level) for part in _parts(prior.even)]
        self._odd = [ExactPart.of(part, level) for part in _parts(prior.odd)]

    def guess(self, group: int, odd: bool, symbols: Tensor, at: Tensor) -> Guess:
        """What the symbols of one part will be, (positions, channels) each.

        Args:
            group: which group of channels.
            odd: which squares of the chessboard.
            symbols: (h + 2, w + 2, latents) as for :class:`ExactPart`; zero where not known yet.
            at: as there.
        """
        own = self.groups[group]
        if odd:
            return self._odd[group](symbols[..., : own.stop], at)
        if group:
            return self._even[group - 1](symbols[..., : own.start], at)
        means, scales = (np.broadcast_to(x, (len(at), len(x))) for x in self._start)
        return means, scales.clip(0, SCALES - 1)


def _parts(modules: torch.nn.ModuleList) -> list[Part]:
    return [part for part in modules if isinstance(part, Part)]


def _fixed(x: Tensor) -> Tensor:
    return (x * ONE).round().contiguous()


def _double(x: Tensor | None) -> Tensor:
    assert x is not None
    return x.detach().cpu().double()
