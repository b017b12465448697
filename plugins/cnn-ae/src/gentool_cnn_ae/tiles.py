"""The transforms on pictures of any size, tile by tile, in bounded memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gentool import Context
from gentool.compute import exactly
from gentool_cnn_ae.basis import STRIDE
from gentool_cnn_ae.nets import CnnAe
from gentool_cnn_ae.noise import kept
from gentool_cnn_ae.options import LEVELS

TILE = 128  # positions a side; 2048 pixels. Part of the format: contexts end with a tile
SMALL = 1024  # positions of a tile that one thread works on

Place = tuple[slice, slice]


class Tiled:
    """A model's encoder and decoder, for pictures that do not fit into them at once.

    Everything is computed in float32, whatever precision the user asked for: a picture must look
    the same on every machine.

    Args:
        model: the networks.
        context: device and progress.
    """

    def __init__(self, model: CnnAe, context: Context) -> None:
        self.model, self.context = model, context

    def analysed(self, pixels: Tensor, noise: float) -> Iterator[tuple[Place, Tensor]]:
        """Each tile's place and latents (1,latents,h,w).

        Args:
            pixels: (3,H,W) in 0..1.
            noise: deviation of what the encoder is to leave out, 0..1.
        """
        height, width = pixels.shape[1:]
        level = torch.tensor([noise], device=self.context.device)
        grid = tuple(-(-n // STRIDE) for n in (height, width))
        for tile in self.context.progress.track([*tiles_of(grid)], "analysing"):
            wide, inner = _with_halo(tile, grid, self.model.encoder.REACH)
            rows, columns = _pixels(wide)
            part = pixels[None, :, rows, columns].to(self.context.device)
            missing = [rows.stop - rows.start, columns.stop - columns.start]
            missing = [n - have for n, have in zip(missing, part.shape[2:], strict=True)]
            part = F.pad(part, (0, missing[1], 0, missing[0]), mode="replicate")
            with exactly(), _sums_in_one_order(part.shape[2] * part.shape[3] // STRIDE**2):
                found = self.model.encoder(_channels_last(part), level)
            yield tile, found[:, :, *inner]

    def synthesise(self, symbols: NDArray[Any], level: int) -> Tensor:
        """Symbols (h,w,latents) -> picture (3,16h,16w) in 0..1, on the CPU."""
        levels = torch.tensor([level], device=self.context.device)
        gains: Tensor = self.model.gains(levels)

        def latents(place: Place) -> Tensor:
            known = torch.from_numpy(symbols[place].astype(np.float32)).to(self.context.device)
            return known.permute(2, 0, 1)[None] / gains

        return self._made(symbols.shape[:2], latents, levels)

    def _made(
        self, grid: tuple[int, ...], latents: Callable[[Place], Tensor], levels: Tensor
    ) -> Tensor:
        """Picture (3,16h,16w) in 0..1, on the CPU, tile by tile.

        Args:
            grid: (h,w), of latents.
            latents: gives those of a place, (1,latents,rows,columns).
            levels: (1,) the quality.
        """
        rows, columns = grid
        picture = torch.empty(3, rows * STRIDE, columns * STRIDE)
        for tile in tiles_of(grid):
            wide, inner = _with_halo(tile, grid, self.model.decoder.REACH)
            part = _channels_last(latents(wide))
            with exactly(), _sums_in_one_order(part.shape[2] * part.shape[3]):
                made = self.model.decoder(part, levels)
            picture[:, *_pixels(tile)] = made[0].clamp(0, 1)[:, *_pixels(inner)]
        return picture

    def denoise(self, pixels: Tensor, deviation: float, alpha: Tensor | None = None) -> Tensor:
        """A picture (3,H,W) without the Gaussian noise of that deviation, 0..1; same size.

        A grey one comes back as (1,H,W). It passes through the codec's transforms at the best
        quality, and nothing is rounded. What is transparent in ``alpha`` (1,H,W) does not count.
        """
        height, width = pixels.shape[1:]
        levels = torch.tensor([LEVELS - 1], device=self.context.device)
        grid = tuple(-(-n // STRIDE) for n in (height, width))
        latents = torch.empty(1, self.model.config.latents, *grid, device=levels.device)
        for tile, found in self.analysed(pixels, deviation):
            latents[:, :, *tile] = found
        picture = self._made(grid, lambda at: latents[:, :, *at], levels)
        picture = picture[:, :height, :width]
        pixels = pixels.cpu()
        if is_grey(pixels):
            picture, pixels = picture.mean(0, keepdim=True), pixels[:1]
        return kept(pixels, picture, deviation, alpha)


def tiles_of(shape: tuple[int, ...]) -> Iterator[Place]:
    """Rows and columns of each tile of a grid of latents, row by row."""
    for top in range(0, shape[0], TILE):
        for left in range(0, shape[1], TILE):
            yield (
                slice(top, min(top + TILE, shape[0])),
                slice(left, min(left + TILE, shape[1])),
            )


def _with_halo(tile: Place, shape: tuple[int, ...], reach: int) -> tuple[Place, Place]:
    """A tile with ``reach`` positions around it, and where in that it lies."""
    wide = [
        slice(max(0, s.start - reach), min(n, s.stop + reach))
        for s, n in zip(tile, shape, strict=False)
    ]
    inner = [slice(s.start - w.start, s.stop - w.start) for s, w in zip(tile, wide, strict=True)]
    return (wide[0], wide[1]), (inner[0], inner[1])


def _pixels(tile: Place) -> Place:
    rows, columns = (slice(s.start * STRIDE, s.stop * STRIDE) for s in tile)
    return rows, columns


@contextlib.contextmanager
def _sums_in_one_order(positions: int) -> Iterator[None]:
    """Take one thread for a small tile: between several, oneDNN splits the sums over channels.

    Seen with AVX-512 below 200 positions of latents; where there are more, it splits those.
    """
    threads = torch.get_num_threads()
    if positions < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _channels_last(x: Tensor) -> Tensor:
    # in the other layout, sums depend on the number of threads
    return x.contiguous(memory_format=torch.channels_last)


def is_grey(pixels: Tensor) -> bool:
    """Whether the three channels of (3,H,W) are equal."""
    return bool((pixels[0] == pixels[1]).all() and (pixels[1] == pixels[2]).all())
