"""Pictures to train on, from folders and tar archives, and crops of them."""

from __future__ import annotations

import hashlib
import io
import math
import os
import random
import tarfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from gentool.errors import TrainingError
from gentool.files import expand
from gentool.images import SUFFIXES, to_srgb, upright

Batch = TypeVar("Batch")


def held_out(name: str) -> bool:
    """Whether a picture is kept for validation: one in sixteen, by the SHA-1 of its name.

    Names are relative to the folder or archive, ``bsds/206097.webp``, so the choice survives
    moving the data and adding to it.
    """
    return hashlib.sha1(os.fsencode(name), usedforsecurity=False).hexdigest().startswith("0")


class Pictures:
    """All pictures of some folders (searched recursively) and .tar archives.

    Files are kept encoded and decoded when asked for. One that cannot be decoded is left out
    from then on, and counted in :attr:`bad`.

    Args:
        paths: folders and archives.
        validation: give the held-out pictures instead of the others.

    Raises:
        TrainingError: a path cannot be read, or there is no picture in all of them.
    """

    def __init__(self, paths: Sequence[Path], validation: bool = False) -> None:
        self.names: list[str] = []
        self._files: list[Path | bytes] = []
        self.bad: dict[str, str] = {}
        for path in paths:
            for name, file in _walk(path):
                if held_out(name) == validation:
                    self.names.append(name)
                    self._files.append(file)
        if not self.names:
            kind = "held-out pictures" if validation else "pictures"
            raise TrainingError(f"no {kind} in {', '.join(map(str, paths))}")

    def __len__(self) -> int:
        return len(self.names)

    def open(self, index: int) -> PIL.Image.Image:
        """One picture, decoded, upright, sRGB without alpha.

        Raises:
            OSError: it is damaged.
        """
        file = self._files[index]
        with PIL.Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            return to_srgb(upright(image))[0]

    def draw(self, rng: random.Random) -> PIL.Image.Image:
        """A random picture; damaged ones are noted and another is drawn.

        Raises:
            TrainingError: every picture is damaged.
        """
        while len(self.bad) < len(self.names):
            index = rng.randrange(len(self.names))
            if self.names[index] in self.bad:
                continue
            try:
                return self.open(index)
            except Exception as e:  # damaged files raise nearly anything
                self.bad[self.names[index]] = str(e)
        raise TrainingError(f"none of the {len(self)} pictures can be read: {self.names[0]} ...")


def _walk(path: Path) -> Iterator[tuple[str, Path | bytes]]:
    path = expand(path)
    try:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix.lower() in SUFFIXES and file.is_file():
                    yield file.relative_to(path).as_posix(), file
            return
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content and Path(member.name).suffix.lower() in SUFFIXES:
                    yield member.name, content.read()
    except (OSError, tarfile.TarError) as e:
        raise TrainingError(f"{path}: not a folder or tar archive of pictures: {e}") from e


def random_crop(
    image: PIL.Image.Image, size: int, long_side: tuple[float, float], rng: random.Random
) -> Tensor:
    """A random square of a picture seen at a random scale, mirrored half of the time.

    Args:
        image: RGB.
        size: side of the result, pixels.
        long_side: the picture is seen as if its long side had between this many pixels; the
            scale is drawn uniformly in its logarithm. Never less than the picture's short side
            fits the square.
        rng: where the draws come from.

    Returns:
        (3,size,size) uint8.
    """
    low, high = (math.log(side) for side in long_side)
    scale = math.exp(rng.uniform(low, high)) / max(image.size)
    side = min(size / scale, *image.size)
    x, y = rng.uniform(0, image.width - side), rng.uniform(0, image.height - side)
    box = (x, y, x + side, y + side)
    crop = np.asarray(image.resize((size, size), PIL.Image.Resampling.BICUBIC, box=box))
    crop = crop[:, ::-1] if rng.random() < 0.5 else crop
    return torch.from_numpy(crop.copy()).permute(2, 0, 1)


def prefetch(make: Callable[[int], Batch], start: int, ahead: int = 4) -> Iterator[Batch]:
    """``make(start)``, ``make(start + 1)`` ... made a few ahead in two threads, in order."""
    with ThreadPoolExecutor(2, thread_name_prefix="batches") as pool:
        waiting: deque[Future[Batch]] = deque()
        step = start
        try:
            while True:
                while len(waiting) < ahead:
                    waiting.append(pool.submit(make, step))
                    step += 1
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
