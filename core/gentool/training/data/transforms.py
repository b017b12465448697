"""Crops that torchvision's transforms do not have."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gentool.vision import transforms

v2 = transforms()


class ScaleCrop(v2.Transform):  # type: ignore[name-defined,misc]  # imported by a function
    """A random square of a picture that is seen at a random scale.

    Unlike ``RandomResizedCrop``, whose crops are shares of the picture, the scale is absolute, so
    strokes and textures have the size they will have in use. Mirroring is left to
    :class:`gentool.training.Pictures`. A subclass may draw the :meth:`scale` in another way.

    Args:
        size: side of the result, pixels.
        long_side: the picture is seen as if its long side had between this many pixels; drawn
            uniformly in its logarithm. Never so small that the square does not fit.
    """

    def __init__(self, size: int, long_side: tuple[float, float]) -> None:
        super().__init__()
        self.size, self.long_side = size, long_side

    def scale(self, height: int, width: int) -> float:
        """Draw at how many times its size a picture is seen."""
        low, high = (math.log(side) for side in self.long_side)
        return math.exp(torch.empty(()).uniform_(low, high).item()) / max(height, width)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, int]:
        """Draw a square that lies within the picture."""
        height, width = flat_inputs[0].shape[-2:]
        side = min(max(1, round(self.size / self.scale(height, width))), height, width)
        top = int(torch.randint(height - side + 1, ()))
        left = int(torch.randint(width - side + 1, ()))
        return {"top": top, "left": left, "height": side, "width": side}

    def transform(self, inpt: Tensor, params: dict[str, int]) -> Tensor:
        """(3,H,W) uint8 to (3,size,size) uint8."""
        square: Tensor = v2.functional.crop(inpt, **params)
        if params["height"] == self.size:
            return square
        # as decoders lay pixels: the resize is quicker so, and batches need not be laid out anew
        square = square[None].contiguous(memory_format=torch.channels_last)
        resized: Tensor = v2.functional.resize(square, [self.size, self.size], antialias=True)
        return resized[0]


class Fit:
    """The middle square of a picture, reduced or enlarged; one that fits already is left alone.

    Args:
        size: side of the result, pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, picture: Tensor) -> Tensor:
        """(3,H,W) uint8 to (3,size,size) uint8."""
        if picture.shape[-2:] == (self.size, self.size):
            return picture
        side = min(picture.shape[-2:])
        square = v2.functional.center_crop(picture, [side, side])
        result: Tensor = v2.functional.resize(square, [self.size] * 2, antialias=True)
        return result
