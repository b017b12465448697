"""A content encoded once and painted in any number of styles, in tiles where it is large.

Every tile is encoded once. The statistics are those of the whole picture, summed in float64; the
features are kept, 1.5 times the picture's memory; each tile is decoded with a halo of the decoder's
true reach. So the result is that of the picture in one piece, whatever the tile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool import Context
from gentool_adain.features import encode, pad
from gentool_adain.nets import STRIDE, AdaIN, Noise
from gentool_adain.statistics import Shares, Style
from gentool_adain.tiles import cover, shrinking

Finish = Callable[[Tensor, Tensor], Tensor]


class Regions:
    """Where each of K styles goes.

    Args:
        masks: (K,H,W) in 0..1, soft or hard.
        reach: of the decoder, cells at 1/8.
        weights: of the styles where their masks overlap.

    Attributes:
        covered: (1,H,W) in 0..1: how much is painted at all; the rest stays the content.
        shares: of each style in every cell.
        counted: how much each cell counts in the statistics of each region, (K,h,w).
    """

    def __init__(self, masks: Tensor, reach: int, weights: Sequence[float] | None = None) -> None:
        strengths = torch.tensor(weights or [1.0] * len(masks)).view(-1, 1, 1)
        weighted = masks * strengths
        self.covered = (masks * (strengths > 0)).sum(0, keepdim=True).clamp_max(1)
        self.counted = Shares(*_pooled(_normalised(weighted) * self.covered))
        at2, at4, at8 = map(_normalised, _pooled(weighted))
        at8 = _spread(at8, reach)
        at4 = _where_empty(at4, at8)
        self.shares = Shares(_where_empty(at2, at4), at4, at8)


def _pooled(masks: Tensor) -> list[Tensor]:
    """(K,H,W) -> means over the cells at 1/2, 1/4 and 1/8."""
    return [F.avg_pool2d(pad(masks[None]), stride)[0] for stride in (2, 4, 8)]


def _normalised(masks: Tensor) -> Tensor:
    """(K,h,w) -> shares, sum 1; all 0 where no mask is."""
    total = masks.sum(0, keepdim=True)
    return torch.where(total > 0, masks / total, 0)


def _spread(shares: Tensor, reach: int) -> Tensor:
    """Fill the cells without a mask from the nearest with one.

    They are not painted, but the decoder looks at them from the cells that are: a style of another
    place would show there. Beyond its reach any style will do.
    """
    for _ in range(reach):
        if shares.sum(0).all():
            break
        around = F.avg_pool2d(shares, 3, stride=1, padding=1)
        shares = torch.where(shares.sum(0) > 0, shares, _normalised(around))
    return torch.where(shares.sum(0) > 0, shares, 1 / len(shares))


def _where_empty(shares: Tensor, coarse: Tensor) -> Tensor:
    """Fill the cells without a mask from the cells, twice as large, that they lie in."""
    filling = coarse.repeat_interleave(2, 1).repeat_interleave(2, 2)
    return torch.where(shares.sum(0) > 0, shares, filling)


class Canvas:
    """A content, ready to be painted.

    Args:
        model: the networks.
        pixels: (3,H,W) in 0..1.
        context: device, precision, seed, progress.
        tile: side of the tiles in pixels; smaller pictures are done in one piece. Halved when
            memory runs out.
        regions: where each of several styles goes; None for one style everywhere.
    """

    def __init__(
        self,
        model: AdaIN,
        pixels: Tensor,
        context: Context,
        tile: int,
        regions: Regions | None = None,
    ) -> None:
        self.model, self.pixels, self.context = model, pixels, context
        self.covered = regions.covered if regions else None
        self.shares = Shares(*(s.to(context.device) for s in regions.shares)) if regions else None
        counted = regions.counted if regions else None
        self.tile, self.own, self.features = encode(model, pixels, context, tile, counted)

    def paint(
        self,
        target: Style,
        alpha: float = 1.0,
        finish: Finish | None = None,
        into: Tensor | None = None,
    ) -> Tensor:
        """Paint it in one style (1,C), or with regions in one for each (K,C) -> (3,H,W) on the CPU.

        Args:
            target: statistics to give it.
            alpha: strength of the style, 0..1.
            finish: what to make of a part of the result and the same part of the content, both
                (3,h,w) in 0..1.
            into: where to write the result; the content itself, if that is needed no more and
                neither ``finish`` nor regions look at it.
        """
        noise = self.model.noise(self.features, self.context.generator(), alpha)
        style = self.own.towards(target, alpha)

        def in_tiles(side: int) -> Tensor:
            return self._decode(style, noise, side, finish, into)

        self.tile, painted = shrinking(self.tile, in_tiles, self.context.progress.note)
        return painted

    def _decode(
        self, style: Style, noise: Noise, side: int, finish: Finish | None, into: Tensor | None
    ) -> Tensor:
        result = torch.empty_like(self.pixels) if into is None else into
        height, width = self.features[1].shape[2:]
        tiles = cover(height, width, side // STRIDE, self.model.decoder.reach)
        for tile in self.context.each(tiles, "paint"):
            f4, noise4 = (tile.computed(x, 2) for x in (self.features[0], noise[0]))
            f8, noise8 = (tile.computed(x) for x in (self.features[1], noise[1]))
            shares = self.shares and Shares(
                *(tile.computed(s, n) for s, n in zip(self.shares, (4, 2, 1), strict=True))
            )
            with self.context.compute.autocast():
                whole = self.model.decode((f4, f8), self.own, style, (noise4, noise8), shares)
            painted = tile.inner(whole, STRIDE)[0].float().clamp(0, 1).cpu()
            # the picture ends before the padding does
            part, content = tile.kept(result, STRIDE), tile.kept(self.pixels, STRIDE)
            painted = painted[:, : part.shape[1], : part.shape[2]]
            if finish:
                painted = finish(painted, content)
            if self.covered is not None:
                painted = content.lerp(painted, tile.kept(self.covered, STRIDE))
            part.copy_(painted)
        return result
