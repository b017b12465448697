"""Crops of pictures as they are, or somewhat shrunk."""

from __future__ import annotations

from gentool.training import ScaleCrop


class ShrinkCrop(ScaleCrop):
    """A random square of a picture, which is shrunk first: that hides what compressed it before.

    Args:
        size: side of the result, pixels.
        smallest: the picture is seen at a share of its size between this and 1, drawn uniformly
            in its logarithm; enlarged where it is smaller than the square.
    """

    def __init__(self, size: int, smallest: float) -> None:
        super().__init__(size, long_side=(smallest, 1))

    def scale(self, height: int, width: int) -> float:
        """The same, with the picture's own long side for unit."""
        return super().scale(1, 1)
