"""Symbols of one tile to bytes and back, by range coding with the frozen tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import constriction
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gentool import WeightsError
from gentool_cnn_ae.exact import ExactPrior
from gentool_cnn_ae.prior import FAR, chessboard
from gentool_cnn_ae.tables import SCALES, SHIFTS, TOTAL, radius, shape

Array = NDArray[Any]
RADII = np.array([radius(scale) for scale in range(SCALES)])
LARGEST = 2**15 - 1  # of a symbol


class Alphabets:
    """The range coder's models, one for each scale and shift.

    Args:
        counts: as :func:`gentool_cnn_ae.tables.logistic` lays them out.

    Raises:
        WeightsError: a count is not positive, or a table's counts do not add up to 2^16.
    """

    def __init__(self, counts: Tensor) -> None:
        whole = counts.cpu().numpy().astype(np.int64)
        tables = [whole[place] for _, _, place in shape()]
        if any(table.min() < 1 or table.sum() != TOTAL for table in tables):
            raise WeightsError("its tables are damaged: counts must add up to 65536")
        # said in full, because another library version may have another default
        self.models = [
            constriction.stream.model.Categorical(table / float(TOTAL), perfect=False)
            for table in tables
        ]
        self._bits = -np.log2(whole / TOTAL)
        self._starts = np.array([place.start for _, _, place in shape()])

    def bits(self, off: Array, tables: Array, radii: Array) -> Array:
        """What symbols cost that are so far off the rounded mean; arrays of one shape."""
        escaped = np.abs(off) > radii
        letters = np.where(escaped, 2 * radii + 1, off + radii)
        found: Array = self._bits[self._starts[tables] + letters] + 16 * escaped
        return found


BYTE = constriction.stream.model.Categorical(np.full(256, 1 / 256), perfect=False)


class Board:
    """The symbols of one tile that are known, as contexts see them.

    Attributes:
        symbols: (h + 2, w + 2, latents) float64.
    """

    def __init__(self, height: int, width: int, latents: int) -> None:
        self.symbols = torch.zeros(height + 2, width + 2, latents, dtype=torch.float64)
        self._squares = [_squares(height, width, odd) for odd in (False, True)]

    def parts(self, prior: ExactPrior) -> Iterator[tuple[slice, Array, Array, Array, Tensor]]:
        """Each part in order: its channels, rounded means, tables, radii, and where it is.

        The caller must :meth:`learn` the part's symbols before the next.
        """
        for number, own in enumerate(prior.groups):
            for odd in (False, True):
                at = self._squares[odd]
                if not len(at):
                    continue
                means, scales = prior.guess(number, odd, self.symbols, at)
                centre = (means + SHIFTS // 2) >> 3
                tables = (scales * SHIFTS + (means - SHIFTS * centre + SHIFTS // 2)).astype("i2")
                yield own, centre, tables, RADII[scales], at

    def learn(self, own: slice, at: Tensor, values: Array) -> None:
        """Take in a part's symbols (positions, channels)."""
        seen = torch.from_numpy(values.clip(-FAR, FAR).astype(np.float64))
        self.symbols.view(-1, self.symbols.shape[2])[at, own] = seen


def _squares(height: int, width: int, odd: bool) -> Tensor:
    """Positions of one colour of the chessboard, counted in rows of width + 2, row by row."""
    rows, columns = chessboard(height, width, odd).nonzero(as_tuple=True)
    return (rows + 1) * (width + 2) + columns + 1


def inside(at: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Rows and columns without the frame."""
    return at // (width + 2) - 1, at % (width + 2) - 1


def encode(
    wanted: Array, prior: ExactPrior, alphabets: Alphabets, price: Array | None = None
) -> tuple[bytes, Array]:
    """Choose symbols and write them.

    Args:
        wanted: (h,w,latents) what symbols should be, within 2^15 - 1 of zero.
        prior: of the quality.
        alphabets: of the weights.
        price: (latents,) bits that a squared error of 1 is worth. A symbol is then the nearest
            whole number or the next towards what is expected, whichever is worth more
            (rate-distortion optimised quantisation, Karczewicz et al. 2008); without, the nearest.

    Returns:
        The bytes, and the symbols (h,w,latents) int32 that decoding gives.
    """
    height, width, latents = wanted.shape
    board, coder = Board(height, width, latents), constriction.stream.queue.RangeEncoder()
    symbols = np.rint(wanted).astype(np.int32)
    for own, centre, tables, radii, at in board.parts(prior):
        rows, columns = (x.numpy() for x in inside(at, width))
        off = symbols[rows, columns, own] - centre
        if price is not None:
            nearer = off - np.sign(off)
            miss = wanted[rows, columns, own] - centre
            worth = price[own] * ((miss - nearer) ** 2 - (miss - off) ** 2)
            saved = alphabets.bits(off, tables, radii) - alphabets.bits(nearer, tables, radii)
            off = np.where(saved > worth, nearer, off)
            symbols[rows, columns, own] = centre + off
        values = centre + off
        escaped = np.abs(off) > radii
        letters = np.where(escaped, 2 * radii + 1, off + radii).astype(np.int32).ravel()
        for table, places in by_table(tables):
            coder.encode(letters[places], alphabets.models[table])
        if escaped.any():
            beyond = (values[escaped] + LARGEST + 1).astype(np.int32)
            coder.encode(beyond >> 8, BYTE)
            coder.encode(beyond & 255, BYTE)
        board.learn(own, at, values)
    return packed(coder.get_compressed()), symbols


def decode(
    data: bytes, size: tuple[int, int, int], prior: ExactPrior, alphabets: Alphabets
) -> Array:
    """Bytes to symbols (h,w,latents) int32.

    Raises:
        ValueError: they are not what :func:`encode` makes.
    """
    height, width, latents = size
    board = Board(height, width, latents)
    coder = constriction.stream.queue.RangeDecoder(unpacked(data))
    symbols = np.zeros(size, np.int32)
    for own, centre, tables, radii, at in board.parts(prior):
        row = np.empty(tables.size, np.int64)
        for table, places in by_table(tables):
            row[places] = coder.decode(alphabets.models[table], len(places))
        letters = row.reshape(tables.shape)
        values = centre + letters - radii
        escaped = letters == 2 * radii + 1
        if count := int(escaped.sum()):
            high, low = (coder.decode(BYTE, count).astype(np.int64) for _ in range(2))
            values[escaped] = 256 * high + low - LARGEST - 1
        rows, columns = inside(at, width)
        symbols[rows.numpy(), columns.numpy(), own] = values
        board.learn(own, at, values)
    if not coder.maybe_exhausted():
        raise ValueError("bytes are left over")
    return symbols


def by_table(tables: Array) -> Iterator[tuple[int, Array]]:
    """Each table that is used, in order, and the places that use it, in order."""
    flat = tables.ravel()
    order = flat.argsort(kind="stable")
    counts = np.bincount(flat)
    ends = counts.cumsum()
    for table in counts.nonzero()[0]:
        yield int(table), order[ends[table] - counts[table] : ends[table]]


def packed(words: NDArray[np.uint32]) -> bytes:
    """The range coder's words, high bytes first; zeros at the end go without saying."""
    return words.astype(">u4").tobytes().rstrip(b"\0")


def unpacked(data: bytes) -> NDArray[np.uint32]:
    """What :func:`packed` took."""
    return np.frombuffer(data + b"\0" * (-len(data) % 4), ">u4").astype(np.uint32)
