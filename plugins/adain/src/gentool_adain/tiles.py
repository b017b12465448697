"""Rectangles that cover a picture, so that memory does not grow with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from torch import Tensor

from gentool.compute import is_out_of_memory

SMALLEST = 64  # pixels; below it the halo is most of the work

T = TypeVar("T")


class Span(NamedTuple):
    """A stretch of cells along one side: what is computed, and what of it is kept.

    Attributes:
        start, stop: with the halo, which ends where the picture ends.
        keep_from, keep_to: without; every cell of the picture is kept once.
    """

    start: int
    stop: int
    keep_from: int
    keep_to: int


class Tile(NamedTuple):
    """A rectangle of cells of a picture.

    Its parts are cut out of tensors (...,H,W) with ``scale`` positions a cell: 8 for pixels, 2
    for features at 1/4. All are views.
    """

    y: Span
    x: Span

    def computed(self, whole: Tensor, scale: int = 1) -> Tensor:
        """The tile with its halo, out of a whole picture."""
        return _cut(whole, *((s.start * scale, s.stop * scale) for s in self))

    def kept(self, whole: Tensor, scale: int = 1) -> Tensor:
        """The tile without its halo, out of a whole picture."""
        return _cut(whole, *((s.keep_from * scale, s.keep_to * scale) for s in self))

    def inner(self, tile: Tensor, scale: int = 1) -> Tensor:
        """The tile without its halo, out of one with it."""
        return _cut(
            tile, *(((s.keep_from - s.start) * scale, (s.keep_to - s.start) * scale) for s in self)
        )


def _cut(x: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    return x[..., slice(*rows), slice(*columns)]


def spans(cells: int, most: int, halo: int) -> list[Span]:
    """Cover ``cells`` by equal stretches of at most ``most``, each with ``halo`` beyond."""
    count = -(-cells // max(1, most))
    edges = [cells * i // count for i in range(count + 1)]
    return [
        Span(max(0, a - halo), min(cells, b + halo), a, b) for a, b in itertools.pairwise(edges)
    ]


def cover(height: int, width: int, most: int, halo: int) -> list[Tile]:
    """Cover a picture of ``height`` x ``width`` cells, row by row; see :func:`spans`."""
    columns = spans(width, most, halo)
    return [Tile(y, x) for y in spans(height, most, halo) for x in columns]


def shrinking(side: int, work: Callable[[int], T], note: Callable[[str], None]) -> tuple[int, T]:
    """``work(side)``; each time memory runs out, again with half the side.

    Returns:
        The side that fitted, and what the work returned.

    Raises:
        MemoryError, RuntimeError: memory ran out with the smallest tiles, too.
    """
    while True:
        try:
            return side, work(side)
        except (MemoryError, RuntimeError) as e:
            if not is_out_of_memory(e) or side // 2 < SMALLEST:
                raise
        # here the exception, and with it the tensors of its frames, is gone
        side = side // 2
        note(f"memory ran out: going on in tiles of {side} pixels")
