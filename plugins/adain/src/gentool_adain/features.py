"""Pictures to features and their statistics, in tiles where they are large."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool import Context
from gentool_adain.nets import ENCODER_REACH, STRIDE, AdaIN
from gentool_adain.statistics import Features, Shares, Style, Total
from gentool_adain.tiles import cover, shrinking

SMALLEST = 2 * STRIDE  # pixels: reflection padding needs two cells at 1/8


def encode(
    model: AdaIN,
    pixels: Tensor,
    context: Context,
    tile_side: int,
    counted: Shares | None = None,
    keep: bool = True,
) -> tuple[int, Style, Features]:
    """Encode a picture (3,H,W) in 0..1.

    Args:
        model: the networks.
        pixels: the picture.
        context: device, precision, progress.
        tile_side: of the tiles, pixels.
        counted: how much each cell counts in the statistics of K regions; None for one of all.
        keep: whether the features are wanted, or only their statistics.

    Returns:
        The side of the tiles that fitted into memory, the statistics and the features.
    """
    padded = pad(pixels[None])
    height, width = (n // STRIDE for n in padded.shape[2:])

    def in_tiles(side: int) -> tuple[Style, Features]:
        tiles = cover(height, width, side // STRIDE, ENCODER_REACH // STRIDE)
        total = Total()
        kept: Features | None = None
        for tile in context.each(tiles, "look"):
            part = tile.computed(padded, STRIDE).to(context.device)
            with context.compute.autocast():
                f4, f8 = model.encoder(part.contiguous(memory_format=torch.channels_last))
            if len(tiles) == 1 and counted is None:
                return Style.of((f4, f8)), (f4, f8)
            f4, f8 = tile.inner(f4, 2), tile.inner(f8)
            total.add((f4, f8), counted and (tile.kept(counted.at4, 2), tile.kept(counted.at8)))
            if kept is None:
                kept = (_room(f4, 2 * height, 2 * width), _room(f8, height, width))
            if keep:
                tile.kept(kept[0], 2).copy_(f4)
                tile.kept(kept[1]).copy_(f8)
        assert kept is not None  # every picture has a tile
        return total.style().to(context.device), kept

    side, (style, features) = shrinking(tile_side, in_tiles, context.progress.note)
    return side, style, features


def encode_style(model: AdaIN, pixels: Tensor, context: Context, tile_side: int) -> Style:
    """What the network keeps of a style picture (3,H,W)."""
    return encode(model, pixels, context, tile_side, keep=False)[1]


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
    """Memory for the features of a whole picture; what is not written to takes none."""
    return torch.empty(
        (1, like.shape[1], height, width),
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last,
    )
