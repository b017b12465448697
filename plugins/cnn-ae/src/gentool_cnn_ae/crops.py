"""Crops of pictures as they are, or somewhat shrunk."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gentool.vision import transforms

v2 = transforms()


class ShrinkCrop(v2.Transform):  # type: ignore[name-defined,misc]  # imported by a function
    """A random square of a picture, which is shrunk first: that hides what compressed it before.

    Args:
        size: side of the result, pixels.
        smallest: the picture is seen at a share of its size between this and 1, drawn uniformly
            in its logarithm; enlarged where it is smaller than the square.
    """

    def __init__(self, size: int, smallest: float) -> None:
        super().__init__()
        self.size, self.smallest = size, smallest

    def make_params(self, flat_inputs: list[Any]) -> dict[str, int]:
        """Draw a square that lies within the picture."""
        height, width = flat_inputs[0].shape[-2:]
        scale = math.exp(torch.empty(()).uniform_(math.log(self.smallest), 0).item())
        side = min(round(self.size / scale), height, width)
        top = int(torch.randint(height - side + 1, ()))
        left = int(torch.randint(width - side + 1, ()))
        return {"top": top, "left": left, "height": side, "width": side}

    def transform(self, inpt: Tensor, params: dict[str, int]) -> Tensor:
        """(3,H,W) uint8 to (3,size,size) uint8."""
        if params["height"] == self.size:
            found: Tensor = v2.functional.crop(inpt, **params)
            return found
        size = [self.size, self.size]
        result: Tensor = v2.functional.resized_crop(inpt, **params, size=size, antialias=True)
        return result
