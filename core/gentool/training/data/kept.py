"""Decoded pictures, kept as bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Kept:
    """Pictures in one block of bytes, pixel by pixel, on the CPU or on a device.

    Args:
        pictures: each (3,H,W) uint8. The list is emptied meanwhile, so that no more than one
            picture is held twice.
        device: where the block lies.

    Attributes:
        device: the same.
        uniform: whether all have one size.
    """

    def __init__(self, pictures: list[Tensor], device: torch.device) -> None:
        self.device = device
        self.shapes = [(*picture.shape[1:], picture.shape[0]) for picture in pictures]
        self.uniform = len(set(self.shapes)) == 1
        ends = np.cumsum([picture.numel() for picture in pictures]).tolist()
        self.spans = list(zip([0, *ends], ends, strict=False))
        block = torch.empty(ends[-1], dtype=torch.uint8)
        pictures.reverse()
        for start, end in self.spans:
            block[start:end] = pictures.pop().permute(1, 2, 0).reshape(-1)
        self.block = block.to(device)

    def __getitem__(self, index: int) -> Tensor:
        """One picture, (3,H,W) uint8."""
        start, end = self.spans[index]
        return self.block[start:end].view(self.shapes[index]).permute(2, 0, 1)

    def take(self, indices: Sequence[int]) -> Tensor:
        """Several pictures of one size, (N,3,H,W) uint8, channels last in memory."""
        stacked = self.block.view(-1, *self.shapes[0])
        return stacked[torch.tensor(indices, device=self.device)].permute(0, 3, 1, 2)
