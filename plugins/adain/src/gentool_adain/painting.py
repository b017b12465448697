"""A content painted with strokes of a size: first small, then once more over that in full size.

A network paints strokes of so many pixels: in a photograph of 12 megapixels they look fine as
sand. So a large picture is painted at a part of its size, enlarged, and painted again at half the
strength, which draws sharp what was enlarged.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from gentool import Context
from gentool.color import keep_luminance
from gentool.images import resize, to_size
from gentool_adain.canvas import Canvas, Regions
from gentool_adain.nets import AdaIN
from gentool_adain.options import PaintOptions
from gentool_adain.statistics import Style

USUAL = 1024  # long side whose strokes larger pictures get, pixels
LARGE = 1536  # up to here strokes are left alone
SMALLEST = 64  # long side that is painted first
AGAIN = 0.5  # strength of the second time, chosen by eye: with 1 the strokes break up again


class Painting:
    """A content, ready to be painted.

    Args:
        model: the networks.
        pixels: (3,H,W) in 0..1.
        context: device, precision, seed, progress.
        options: strength, size of strokes, tiles, colors.
        masks: where each style goes, (1,h,w) each in 0..1, of any size; none for one style.
        weights: of the styles where masks overlap.
    """

    def __init__(
        self,
        model: AdaIN,
        pixels: Tensor,
        context: Context,
        options: PaintOptions,
        masks: Sequence[Tensor] = (),
        weights: Sequence[float] | None = None,
    ) -> None:
        self.pixels, self.options, self.masks, self.weights = pixels, options, masks, weights
        self.reach = model.decoder.reach
        self._canvas = functools.partial(Canvas, model, context=context, tile=options.tile)
        long = max(pixels.shape[1:])
        usual = long / USUAL if long > LARGE else 1.0
        side = max(min(long, SMALLEST), round(long / (options.stroke or usual)))
        small = pixels if side == long else resize(pixels, side)
        self.again = side != long
        self.canvas = self._canvas(small, regions=self._regions(small))

    def _regions(self, pixels: Tensor) -> Regions | None:
        if not self.masks:
            return None
        fitted = [to_size(mask, pixels.shape[1:]) for mask in self.masks]
        return Regions(torch.cat(fitted), self.reach, self.weights)

    def paint(self, target: Style) -> Tensor:
        """In one style (1,C), or with masks in one for each (K,C) -> (3,H,W) on the CPU, 0..1."""
        alpha = self.options.alpha
        finish = keep_luminance if self.options.preserve_color == "luminance" else None
        painted = self.canvas.paint(target, alpha, finish)
        if not self.again:
            return painted
        regions = self._regions(self.pixels)
        # what is not painted was not meant to lose its detail
        strength = alpha * regions.covered if regions else torch.tensor(alpha)
        over = to_size(painted, self.pixels.shape[1:])
        del painted
        torch.lerp(self.pixels, over, strength, out=over)
        # copies of a large picture count
        into = over if finish is None and regions is None else None
        return self._canvas(over, regions=regions).paint(target, alpha * AGAIN, finish, into)
