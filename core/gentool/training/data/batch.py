"""What travels between a set of pictures and a training: which to take, and the pictures."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gentool.compute import send

IN_PIPE = 1 << 20  # bytes; more take several turns of the pipe, each waiting as long
QUEUED = 64  # batches that may wait in shared memory at once: those of 16 processes


@dataclass(frozen=True)
class Batch:
    """Some pictures, as losses get them.

    Attributes:
        pictures: (N,3,H,W) float32, 0..1, on the training's device.
        labels: (N,) int64, number of the picture's class; -1 where the set has no classes.
    """

    pictures: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        # from a worker, small batches go through the pipe as plain bytes: torch's shared memory
        # takes a handshake for each tensor, which waits for an interpreter that is busy decoding
        size = self.pictures.numel()
        if size > IN_PIPE and _shared_memory() > QUEUED * size:
            return super().__reduce_ex__(protocol)
        rows = self.pictures.permute(0, 2, 3, 1).numpy(force=True)
        return _unpacked, (rows, self.labels.numpy(force=True))

    def pin_memory(self) -> Batch:
        """The same in memory from which a GPU copies quickly; the loader calls this."""
        return Batch(self.pictures.pin_memory(), self.labels.pin_memory())

    def to(self, device: torch.device, layout: torch.memory_format) -> Batch:
        """Moved to a device, bytes turned into floats there."""
        pictures = send(self.pictures, device).contiguous(memory_format=layout)
        if pictures.dtype == torch.uint8:
            pictures = pictures.float().div_(255)
        return replace(self, pictures=pictures, labels=send(self.labels, device))


@dataclass(frozen=True)
class Draw:
    """Which samples make a batch, and the seed of what is random about them.

    ``mirror``: whether those of a set that mirrors are mirrored.
    """

    indices: Sequence[int]
    seed: int
    mirror: bool = True


def _unpacked(rows: NDArray[np.uint8], labels: NDArray[np.int64]) -> Batch:
    """A batch from another process; ``rows`` is (N,H,W,3)."""
    return Batch(torch.from_numpy(rows).permute(0, 3, 1, 2), torch.from_numpy(labels))


def _shared_memory() -> float:
    """Bytes that are free in it; many a container has 64 MiB in all, and torch hangs when full."""
    try:
        return shutil.disk_usage("/dev/shm").free  # noqa: S108 - only asked
    except OSError:  # macOS and Windows have no such folder, and no such limit
        return math.inf
