"""Pictures to features and their statistics, in tiles where they are large."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool import Context
from gentool_adain.nets import STRIDE, AdaIN
from gentool_adain.statistics import Features, Shares, Style, Total
from gentool_adain.tiles import Tile, cover, shrinking

SMALLEST = 2 * STRIDE  # pixels: reflection padding needs two cells at 1/8


def encode(
    model: AdaIN,
    pixels: Tensor,
    context: Context,
    tile_side: int,
    counted: Shares | None = None,
) -> tuple[int, Style, Features]:
    """Encode a picture (3,H,W) in 0..1.

    Args:
        model: the networks.
        pixels: the picture.
        context: device, precision, progress.
        tile_side: of the tiles, pixels.
        counted: how much each cell counts in the statistics of K regions; None for one of all.

    Returns:
        The side of the tiles that fitted into memory, the statistics and the features.
    """
    padded = pad(pixels[None])
    height, width = (n // STRIDE for n in padded.shape[2:])

    def in_tiles(side: int) -> tuple[Style, Features]:
        total, kept = Total(), None
        for tile, (f4, f8) in _encoded(model, padded, context, side):
            if counted is None and f8.shape[2:] == (height, width):
                return Style.of((f4, f8)), (f4, f8)  # in one piece
            total.add((f4, f8), counted and (tile.kept(counted.at4, 2), tile.kept(counted.at8)))
            if kept is None:
                kept = (_room(f4, 2 * height, 2 * width), _room(f8, height, width))
            tile.kept(kept[0], 2).copy_(f4)
            tile.kept(kept[1]).copy_(f8)
        assert kept is not None  # every picture has a tile
        return total.style().to(context.device), kept

    side, (style, features) = shrinking(tile_side, in_tiles, context.progress.note)
    return side, style, features


def encode_style(model: AdaIN, pixels: Tensor, context: Context, tile_side: int) -> Style:
    """The statistics of a style picture (3,H,W) in 0..1, which are all that is kept of it."""
    padded = pad(pixels[None])

    def in_tiles(side: int) -> Style:
        total = Total()
        for _, features in _encoded(model, padded, context, side):
            total.add(features)
        return total.style().to(context.device)

    return shrinking(tile_side, in_tiles, context.progress.note)[1]


def _encoded(
    model: AdaIN, padded: Tensor, context: Context, side: int
) -> Iterator[tuple[Tile, Features]]:
    """The features of a padded picture (1,3,H,W), tile after tile."""
    height, width = (n // STRIDE for n in padded.shape[2:])
    tiles = cover(height, width, side // STRIDE, model.encoder.reach)
    for tile in context.each(tiles, "look"):
        part = tile.computed(padded, STRIDE).to(context.device)
        with context.compute.autocast():
            f4, f8 = model.encoder(part.contiguous(memory_format=torch.channels_last))
        yield tile, (tile.inner(f4, 2), tile.inner(f8))


def pad(pictures: Tensor) -> Tensor:
    """(N,C,H,W) with sides that are multiples of 8 and at least 16.

    By reflection where there is enough to reflect, else by repeating the edge.
    """
    height, width = pictures.shape[2:]
    bottom = max(SMALLEST, -(-height // STRIDE) * STRIDE) - height
    right = max(SMALLEST, -(-width // STRIDE) * STRIDE) - width
    if not bottom and not right:
        return pictures
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(pictures, (0, right, 0, bottom), mode=mode)


def _room(like: Tensor, height: int, width: int) -> Tensor:
    """Memory for the features of a whole picture."""
    return torch.empty(
        (1, like.shape[1], height, width),
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last,
    )
