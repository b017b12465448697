"""Parts of a picture with the surroundings that a feature network's deepest layer sees."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor

GRID = 16  # tiles begin at multiples of this, where all poolings agree with the whole picture's


def stride(layer: str) -> int:
    """Pixels between neighbouring positions of a layer: 4 for ``relu3_1``."""
    return int(2 ** (int(layer[4]) - 1))


def reach(layers: Iterable[str]) -> int:
    """Pixels that VGG-19 sees around a cell of these layers, in whole cells of :data:`GRID`.

    relu5_1 sees 70 on each side, and every convolution behind it 16 more.
    """
    return max([80, *(80 + GRID * (int(name[6:]) - 1) for name in layers if name[4] == "5")])


@dataclass(frozen=True)
class Span:
    """A stretch of rows or columns.

    Attributes:
        begin, end: with surroundings, pixels; the end is exclusive.
        first, last: without them.
        final: whether the picture ends here.
    """

    begin: int
    end: int
    first: int
    last: int
    final: bool

    def own(self, layer: str) -> slice:
        """Where the stretch lies in its own feature map."""
        s = stride(layer)
        # the picture's last cells may be cut or padded: whatever there is belongs to the last tile
        return slice((self.first - self.begin) // s, None if self.final else self._last(s))

    def _last(self, s: int) -> int:
        return (self.last - self.begin) // s

    def whole(self, layer: str) -> slice:
        """Where the stretch lies in the whole picture's feature map."""
        s = stride(layer)
        return slice(self.first // s, None if self.final else self.last // s)


@dataclass(frozen=True)
class Tile:
    """A part of a picture."""

    rows: Span
    columns: Span

    def of(self, image: Tensor) -> Tensor:
        """The tile's pixels, surroundings included, of (1,C,H,W)."""
        return image[..., self.rows.begin : self.rows.end, self.columns.begin : self.columns.end]

    def own(self, maps: Tensor, layer: str) -> Tensor:
        """The tile without surroundings, of its own feature map."""
        return maps[..., self.rows.own(layer), self.columns.own(layer)]

    def whole(self, maps: Tensor, layer: str) -> Tensor:
        """The tile without surroundings, of the whole picture's feature map."""
        return maps[..., self.rows.whole(layer), self.columns.whole(layer)]


def cover(image: Tensor, side: int, halo: int) -> list[Tile]:
    """Tiles of about that side, ``halo`` pixels around each, that cover (1,C,H,W); 0 gives one."""
    height, width = image.shape[2:]
    return [Tile(r, c) for r in _spans(height, side, halo) for c in _spans(width, side, halo)]


def _spans(length: int, side: int, halo: int) -> Iterator[Span]:
    count = math.ceil(length / side) if side else 1
    step = math.ceil(length / count / GRID) * GRID
    for first in range(0, length, step):
        last = min(first + step, length)
        yield Span(max(0, first - halo), min(length, last + halo), first, last, last == length)
