"""Symbols of one tile to bytes and back, by range coding with the frozen tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

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


class Part(NamedTuple):
    """Symbols that are coded at once, (positions, channels), and what is expected of them.

    Attributes:
        at: positions on the board, (positions,).
        own: channels.
        centre: rounded means.
        tables: numbers of the range coder's models.
        radii: how far from the centre a symbol may be without escaping.
    """

    at: Tensor
    own: slice
    centre: Array
    tables: Array
    radii: Array


class Board:
    """The symbols of one tile that are known, as contexts see them.

    Attributes:
        symbols: (h + 2, w + 2, latents) float64.
    """

    def __init__(self, height: int, width: int, latents: int) -> None:
        self.symbols = torch.zeros(height + 2, width + 2, latents, dtype=torch.float64)
        self._squares = [_squares(height, width, odd) for odd in (False, True)]

    def fill(self, prior: ExactPrior, code: Callable[[Part], Array]) -> None:
        """Let ``code`` tell the symbols of every part in order; it sees those before it."""
        for number, own in enumerate(prior.groups):
            for odd in (False, True):
                at = self._squares[odd]
                if not len(at):
                    continue
                means, scales = prior.guess(number, odd, self.symbols, at)
                centre = (means + SHIFTS // 2) >> 3
                tables = (scales * SHIFTS + (means - SHIFTS * centre + SHIFTS // 2)).astype("i2")
                values = code(Part(at, own, centre, tables, RADII[scales]))
                seen = torch.from_numpy(values.clip(-FAR, FAR).astype(np.float64))
                self.symbols.view(-1, self.symbols.shape[2])[at, own] = seen


def _squares(height: int, width: int, odd: bool) -> Tensor:
    """Positions of one colour of the chessboard, counted in rows of width + 2, row by row."""
    rows, columns = chessboard(height, width, odd).nonzero(as_tuple=True)
    return (rows + 1) * (width + 2) + columns + 1


def inside(at: Tensor, width: int) -> tuple[Array, Array]:
    """Rows and columns without the frame."""
    return (at // (width + 2) - 1).numpy(), (at % (width + 2) - 1).numpy()


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
    coder = constriction.stream.queue.RangeEncoder()
    symbols = np.rint(wanted).astype(np.int32)

    def code(part: Part) -> Array:
        place = *inside(part.at, width), part.own
        off = symbols[place] - part.centre
        if price is not None:
            miss = wanted[place] - part.centre
            off = _worthwhile(off, miss, price[part.own], part, alphabets)
        symbols[place] = values = part.centre + off
        escaped = np.abs(off) > part.radii
        letters = np.where(escaped, 2 * part.radii + 1, off + part.radii).astype(np.int32).ravel()
        for table, places in by_table(part.tables):
            coder.encode(letters[places], alphabets.models[table])
        if escaped.any():
            beyond = (values[escaped] + LARGEST + 1).astype(np.int32)
            coder.encode(beyond >> 8, BYTE)
            coder.encode(beyond & 255, BYTE)
        return values

    Board(height, width, latents).fill(prior, code)
    return packed(coder.get_compressed()), symbols


def _worthwhile(off: Array, miss: Array, price: Array, part: Part, alphabets: Alphabets) -> Array:
    """Symbols ``off`` the centre, or one nearer to it, if that saves more than its error costs.

    ``miss`` is how far off they should be.
    """
    nearer = off - np.sign(off)
    worth = price * ((miss - nearer) ** 2 - (miss - off) ** 2)
    before, after = (alphabets.bits(x, part.tables, part.radii) for x in (off, nearer))
    return np.where(before - after > worth, nearer, off)


def decode(
    data: bytes, size: tuple[int, int, int], prior: ExactPrior, alphabets: Alphabets
) -> Array:
    """Bytes to symbols (h,w,latents) int32.

    Raises:
        ValueError: they are not what :func:`encode` makes.
    """
    height, width, latents = size
    coder = constriction.stream.queue.RangeDecoder(unpacked(data))
    symbols = np.zeros(size, np.int32)

    def code(part: Part) -> Array:
        row = np.empty(part.tables.size, np.int64)
        for table, places in by_table(part.tables):
            row[places] = coder.decode(alphabets.models[table], len(places))
        letters = row.reshape(part.tables.shape)
        values = part.centre + letters - part.radii
        escaped = letters == 2 * part.radii + 1
        if count := int(escaped.sum()):
            high, low = (coder.decode(BYTE, count).astype(np.int64) for _ in range(2))
            values[escaped] = 256 * high + low - LARGEST - 1
        symbols[*inside(part.at, width), part.own] = values
        return values

    Board(height, width, latents).fill(prior, code)
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
