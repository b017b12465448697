"""Decoded pictures, kept as bytes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gentool.compute import send


class Kept:
    """Pictures in one block of bytes, pixel by pixel, on the CPU or on a device.

    Args:
        pictures: each (3,H,W) uint8, None for a damaged one. The list is emptied meanwhile; the
            allocator may keep what it frees until the block is full.
        device: where the block lies.

    Attributes:
        device: the same.
        uniform: whether all sound ones have one size.
    """

    def __init__(self, pictures: list[Tensor | None], device: torch.device) -> None:
        self.device = device
        self.places: list[int | None] = []  # among the sound ones
        self.shapes: list[tuple[int, ...]] = []
        for picture in pictures:
            self.places.append(None if picture is None else len(self.shapes))
            if picture is not None:
                self.shapes.append((*picture.shape[1:], picture.shape[0]))
        self.uniform = len(set(self.shapes)) == 1
        ends = list(itertools.accumulate(math.prod(shape) for shape in self.shapes))
        self.spans = list(zip([0, *ends], ends, strict=False))
        block = torch.empty(ends[-1], dtype=torch.uint8)
        pictures.reverse()
        while pictures:
            picture = pictures.pop()
            place = self.places[len(self.places) - len(pictures) - 1]
            if picture is not None and place is not None:
                start, end = self.spans[place]
                block[start:end] = picture.permute(1, 2, 0).reshape(-1)
        self.block = block.to(device)

    def __getitem__(self, index: int) -> Tensor:
        """One picture, (3,H,W) uint8.

        Raises:
            OSError: it is damaged.
        """
        place = self.places[index]
        if place is None:
            raise OSError("damaged")
        start, end = self.spans[place]
        return self.block[start:end].view(self.shapes[place]).permute(2, 0, 1)

    def sound(self, index: int) -> int:
        """The index itself, or that of the next picture that is not damaged."""
        while self.places[index] is None:
            index = (index + 1) % len(self.places)
        return index

    def take(self, indices: Sequence[int]) -> Tensor:
        """Sound pictures of one size, (N,3,H,W) uint8, channels last in memory."""
        stacked = self.block.view(-1, *self.shapes[0])
        places = torch.tensor([self.places[index] for index in indices])
        return stacked[send(places, self.device)].permute(0, 3, 1, 2)
