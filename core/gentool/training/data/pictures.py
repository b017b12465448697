"""A set of pictures: which there are, their labels, and batches of them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from gentool.compute import is_out_of_memory, send
from gentool.errors import TrainingError
from gentool.images import from_pil, to_srgb, upright
from gentool.training.data import jpeg
from gentool.training.data.batch import Batch, Draw
from gentool.training.data.kept import Kept
from gentool.training.data.sources import Source, find
from gentool.training.seeds import derive
from gentool.training.setup import Setup

PATIENCE = 100  # damaged pictures in a row before a set is given up
Split = Literal["training", "held-out", "all"]
Transform = Callable[[Tensor], Tensor]
PLAIN = ("1", "L", "P", "RGB", "CMYK", "YCbCr")  # Pillow's modes of 8 bits without transparency


class _NoneSoundError(TrainingError):
    """Too many pictures in a row are damaged."""


def held_out(name: str) -> bool:
    """Whether a picture is kept for validation: one in sixteen, by the SHA-1 of its name.

    Names are relative to the folder or archive, ``bsds/206097.webp``, so the choice survives
    moving the data and adding to it.
    """
    return hashlib.sha1(os.fsencode(name), usedforsecurity=False).hexdigest().startswith("0")


class Pictures:
    """All pictures of some folders (searched recursively) and archives.

    Labels are the first folder of a name, or the first after the prefix of
    ``ARCHIVE:PREFIX``; a set that has pictures outside of folders has no labels. Encoded files
    stay where they are and are decoded when asked for, unless :meth:`keep` was called. In place of
    one that cannot be decoded stands the next that can; what ``prepare`` or ``transform`` raises
    ends the training.

    Args:
        paths: what ``--data`` takes.
        transform: makes of a picture (3,H,W) uint8 what the networks learn from, all of one
            size; usually random, from ``gentool.vision.transforms()``. It may draw from the
            global generators of torch, NumPy and Python, which are seeded for each picture and
            pass, so that neither workers nor the number of devices change what is drawn. None if
            all have one size already. Worker processes get it by pickle on macOS, Windows and from
            Python 3.14 on: define it at module level, no lambda.
        prepare: done to a picture (3,H,W) uint8 when it is decoded, before it is kept: what is
            the same in every pass, such as :class:`gentool.training.Fit`; defined as transform is.
        flip: mirror every other picture, chosen anew in every pass, unless ``--no-mirror``.
        split: leave out the held-out pictures, give only those, or give all.
        flag: by which the paths were given, for messages; empty if by none.

    Raises:
        TrainingError: a path cannot be read, or there is no picture in all of them.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        transform: Transform | None = None,
        *,
        prepare: Transform | None = None,
        flip: bool = True,
        split: Split = "training",
        flag: str = "--data",
    ) -> None:
        if not paths:
            raise TrainingError(f"{flag}: is required: a folder or an archive of pictures")
        self.transform, self.prepare, self.flip = transform, prepare, flip
        self._paths, self._sources = [*map(str, paths)], [find(path, flag) for path in paths]
        wanted = {"training": (False,), "held-out": (True,), "all": (False, True)}[split]
        self._places = [
            (source, number)
            for source, found in enumerate(self._sources)
            for number, name in enumerate(found.names)
            if split == "all" or held_out(name) in wanted
        ]
        self.where = f"{flag} {', '.join(self._paths)}".lstrip()
        if not self._places:
            if split == "held-out":
                raise TrainingError(
                    f"{self.where}: none of its pictures is held out to validate on; one in "
                    "sixteen is, by its name: give more"
                )
            found = sum(len(source.names) for source in self._sources)
            alone = f" but {found} that validation keeps; give more" if found else " in it"
            raise TrainingError(f"{self.where}: no pictures{alone}")
        folders = [[_folder(source, name) for name in source.names] for source in self._sources]
        self.classes = _classes(folders)
        numbers: dict[str | None, int] = {name: i for i, name in enumerate(self.classes)}
        self.labels = torch.tensor([numbers.get(folders[s][n], -1) for s, n in self._places])
        self._kept: Kept | None = None
        self._told: set[str] = set()  # damaged ones, by parts()

    def __len__(self) -> int:
        return len(self._places)

    def name(self, index: int) -> str:
        """A picture's name, relative to its folder or archive."""
        source, number = self._places[index]
        return self._sources[source].names[number]

    def full_name(self, index: int) -> str:
        """The same behind what was given for ``--data``, if that was several: for messages."""
        source, _ = self._places[index]
        name = self.name(index)
        return f"{self._paths[source]}: {name}" if len(self._paths) > 1 else name

    def image(self, index: int) -> PIL.Image.Image:
        """One picture, opened but not yet decoded; the file's own format, mode and size.

        Raises:
            OSError: it is no picture.
        """
        source, number = self._places[index]
        return PIL.Image.open(io.BytesIO(self._sources[source].read(number)))

    def pixels(self, index: int) -> Tensor:
        """One picture, decoded, upright, sRGB and prepared: (3,H,W) uint8.

        Raises:
            Exception: as :meth:`decode` and ``prepare`` do.
        """
        return self.prepared(index, self.decode(index))

    def prepared(self, index: int, decoded: Tensor) -> Tensor:
        """What is kept of a picture that :meth:`decode` gave: (3,H,W) uint8."""
        if self.prepare is None or self._kept is not None:
            return decoded
        with _named(self.full_name(index)):
            return self.prepare(decoded)

    def decode(self, index: int) -> Tensor:
        """One picture, decoded, upright, sRGB: (3,H,W) uint8; the kept one, if it is kept.

        Raises:
            Exception: it is damaged; decoders raise nearly anything.
        """
        if self._kept is not None:
            return self._kept[index]
        source, number = self._places[index]
        data = self._sources[source].read(number)
        rows = jpeg.decode(data)
        if rows is None:
            with PIL.Image.open(io.BytesIO(data)) as image:
                rows = _bytes(image)
        return rows.permute(2, 0, 1)

    def keep(self, decoded: list[Tensor | None], device: torch.device) -> None:
        """Answer from decoded pictures from now on; None stands for one that is damaged."""
        self._kept = Kept(decoded, device)

    @property
    def ready(self) -> bool:
        """Whether a batch costs next to nothing: decoded already, and nothing to transform.

        Pictures that lie on a device count as well: other processes could not reach them.
        """
        kept = self._kept
        return self.on_device or (kept is not None and kept.uniform and self.transform is None)

    @property
    def on_device(self) -> bool:
        """Whether decoded pictures lie on a device rather than in memory."""
        return self._kept is not None and self._kept.device.type != "cpu"

    def fingerprint(self) -> str:
        """Count and names, in short: tells whether a resumed training has the same pictures."""
        names = "\n".join(self.name(i) for i in range(len(self)))
        return f"{len(self)} {hashlib.sha256(os.fsencode(names)).hexdigest()[:12]}"

    def batch(self, draw: Draw) -> tuple[Batch, dict[str, str]]:
        """A batch of bytes, transformed and mirrored; and which pictures were bad, and why.

        Raises:
            TrainingError: too many in a row are damaged, or sizes differ without a transform.
        """
        kept = self._kept
        if kept is not None:  # damaged ones were told of when it was decoded
            draw = replace(draw, indices=[kept.sound(i) for i in draw.indices])
        if kept is not None and kept.uniform and self.transform is None:
            indices, bad = list(draw.indices), dict[str, str]()
            pictures = kept.take(indices)
            if self.flip:
                chosen = torch.tensor([_mirrored(draw, i) for i in indices])
                chosen = send(chosen, pictures.device)[:, None, None, None]
                pictures = torch.where(chosen, pictures.flip(-1), pictures)
        else:
            indices, rows, bad = self._read(draw)
            pictures = self._stack(rows, indices)
        return Batch(pictures, self.labels[torch.tensor(indices)]), bad

    def sample_batch(self, count: int, setup: Setup, seed: int = 0) -> Batch:
        """Up to ``count`` pictures and their labels, the same every time, as losses get them."""
        return next(self.parts(count, count, setup, seed))

    def parts(self, count: int, size: int, setup: Setup, seed: int = 0) -> Iterator[Batch]:
        """The same pictures in batches of ``size``, for those that are too many at once."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        for numbers in torch.split(order[:count], size):
            batch, bad = self.batch(Draw(numbers.tolist(), seed, setup.plan.mirror))
            for name, reason in bad.items():
                if name not in self._told:  # though they are asked for at every preview
                    setup.note(f"skipped {name}: {reason}")
                    self._told.add(name)
            yield batch.to(setup.device, torch.contiguous_format)

    def sample(self, count: int, setup: Setup, seed: int = 0) -> Tensor:
        """The pictures of :meth:`sample_batch`, (N,3,H,W)."""
        return self.sample_batch(count, setup, seed).pictures

    def _read(self, draw: Draw) -> tuple[list[int], list[Tensor], dict[str, str]]:
        """Pictures as rows of pixels, (H,W,3) uint8."""
        indices, found, bad = [], list[Tensor](), dict[str, str]()
        with torch.random.fork_rng(devices=[], enabled=self.transform is not None):
            for wanted in draw.indices:
                index, decoded = self._sound(wanted, bad)
                rows = self._transformed(index, decoded, draw.seed).permute(1, 2, 0)
                if self.flip and _mirrored(draw, index):
                    rows = rows.flip(1)  # 20 times quicker than stacking a view of NumPy's
                indices.append(index)
                found.append(rows)
        return indices, found, bad

    def _sound(self, wanted: int, bad: dict[str, str]) -> tuple[int, Tensor]:
        """A picture as decoded, or the next that is not damaged: batches keep their size."""
        for index in range(wanted, wanted + min(len(self), PATIENCE)):
            at = index % len(self)
            try:
                return at, self.decode(at)
            except Exception as e:  # decoders raise nearly anything on damaged files
                if is_out_of_memory(e):
                    raise
                bad[self.full_name(at)] = explain(e)
        name, reason = next(iter(bad.items()))
        raise _NoneSoundError(f"{len(bad)} pictures in a row cannot be read: {name}: {reason}")

    def _transformed(self, index: int, decoded: Tensor, seed: int) -> Tensor:
        """(3,H,W) uint8, as batches have it."""
        pixels = self.prepared(index, decoded)
        if self.transform is None:
            return pixels
        seed = derive(seed, index)
        torch.default_generator.manual_seed(seed)
        if pixels.is_cuda:  # noise, say, is drawn where the picture lies
            with torch.cuda.device(pixels.device):  # not always the current one
                torch.cuda.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002 - a transform may draw from the global one
        with _named(self.full_name(index)):
            return self.transform(pixels)

    def _stack(self, found: Sequence[Tensor], indices: Sequence[int]) -> Tensor:
        for rows, index in zip(found, indices, strict=True):
            if rows.shape != found[0].shape:
                raise TrainingError(
                    f"pictures must be of one size here, but {self.full_name(indices[0])} "
                    f"is {_size(found[0])} and {self.full_name(index)} is {_size(rows)}"
                )
        return torch.stack(list(found)).permute(0, 3, 1, 2)


def sample_held_out(
    count: int, setup: Setup, transform: Transform | None = None, prepare: Transform | None = None
) -> Tensor | None:
    """Up to ``count`` held-out pictures of ``--data``, the same every time, as losses get them.

    Args:
        count: of pictures.
        setup: of the training.
        transform: see :class:`Pictures`.
        prepare: as there.

    Returns:
        (N,3,H,W) in 0..1, or None where a small set keeps none out, or none that can be read.
    """
    try:
        found = Pictures(setup.plan.data, transform, prepare=prepare, flip=False, split="held-out")
    except TrainingError:  # of anything else the training's own pictures told already
        return None
    try:
        return found.sample(count, setup)
    except _NoneSoundError as e:
        setup.note(f"nothing to validate on: of what is held out, {e}")
        return None


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Say with a traceback of what the body does, somebody's own code, which picture it was."""
    try:
        yield
    except Exception as e:
        e.add_note(f"(while {name} was prepared for the training)")
        raise


def _bytes(image: PIL.Image.Image) -> Tensor:
    """(H,W,3) uint8, as ``gentool run`` would see it; white shows through what is transparent."""
    if image.mode in PLAIN and "transparency" not in image.info:
        return torch.from_numpy(np.array(to_srgb(upright(image))[0]))
    picture = from_pil(image, "image")
    pixels = picture.pixels
    if picture.alpha is not None:
        pixels = 1 + picture.alpha * (pixels - 1)
    return pixels.permute(1, 2, 0).mul(255).round_().byte()


def explain(error: Exception) -> str:
    """Why a picture cannot be used, in a few words that are the same every time."""
    if isinstance(error, PIL.UnidentifiedImageError):
        return "not a picture that Pillow can read"
    return " ".join(str(error).split()) or type(error).__name__


def _mirrored(draw: Draw, index: int) -> bool:
    return draw.mirror and derive(draw.seed, "flip", index) % 2 == 1


def _folder(source: Source, name: str) -> str | None:
    """The first folder of a name behind the prefix; None for a picture outside of folders."""
    rest = name.removeprefix(source.prefix).lstrip("/")
    return rest.partition("/")[0] if "/" in rest else None


def _classes(folders: Iterable[Iterable[str | None]]) -> list[str]:
    """Their names, in the order of their numbers; of all splits, so that these agree."""
    found = set(itertools.chain.from_iterable(folders))
    return [] if None in found else sorted(filter(None, found))


def _size(rows: Tensor) -> str:
    return f"{rows.shape[1]}x{rows.shape[0]}"
