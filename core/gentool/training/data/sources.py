"""Where pictures come from: folders, and archives that are read without unpacking."""

from __future__ import annotations

import lzma
import os
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch

from gentool.errors import TrainingError
from gentool.files import expand, similar
from gentool.images import SUFFIXES

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz", ".zip")
_DAMAGED = (OSError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError)


class Source(Protocol):
    """Encoded pictures by number.

    Attributes:
        names: of the pictures, relative to the folder or archive, ``train/cat/0001.jpg``.
        prefix: the part of every name before what labels are taken from, ``train/``.
    """

    names: list[str]
    prefix: str

    def read(self, number: int) -> bytes:
        """The encoded bytes of a picture.

        Raises:
            OSError: they cannot be read.
        """
        ...


def find(text: str | Path) -> Source:
    """What ``--data`` means: a folder, an archive, or a part of one as ``ARCHIVE:PREFIX``.

    Raises:
        TrainingError: there is no such thing, or it cannot be read.
    """
    path, prefix = expand(text), ""
    if not path.exists() and ":" in str(text):
        before, _, prefix = str(text).rpartition(":")
        path = expand(before)
    try:
        if path.is_dir() and not prefix:
            return Folder(path)
        if path.is_file() and path.name.lower().endswith(ARCHIVES):
            found = _archive(path, prefix)
            if prefix and not found.names:
                raise TrainingError(f"--data {text}: nothing in {path} begins with '{prefix}'")
            return found
    except _DAMAGED as e:
        raise TrainingError(f"--data {path}: cannot read it: {e}") from e
    if not path.exists():
        raise TrainingError(f"--data {text}: no such folder or archive{similar(path)}")
    if path.is_dir():
        raise TrainingError(f"--data {text}: a part of a folder is given by its own path")
    raise TrainingError(
        f"--data {text}: not a folder, nor one of the archives {', '.join(ARCHIVES)}"
    )


def _archive(path: Path, prefix: str) -> Source:
    name = path.name.lower()
    if name.endswith(".zip"):
        return Zip(path, prefix)
    return Tar(path, prefix) if name.endswith(".tar") else CompressedTar(path, prefix)


def _is_picture(name: str, prefix: str = "") -> bool:
    last = name.rpartition("/")[2]
    return (
        name.startswith(prefix)
        and not last.startswith(".")  # macOS leaves ._a.jpg beside a.jpg
        and os.path.splitext(last)[1].lower() in SUFFIXES
    )


class Folder:
    """Every picture below a folder."""

    prefix = ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = sorted(
            Path(folder, name).relative_to(root).as_posix()
            for folder, _, names in os.walk(root)
            for name in names
            if _is_picture(name)
        )

    def read(self, number: int) -> bytes:
        return (self.root / self.names[number]).read_bytes()


class Tar:
    """A plain tar archive: pictures are read from where they lie in it."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.path, self.prefix = path, prefix
        self.names, self._spans = [], []
        with tarfile.open(path, "r:") as archive:
            for member in _members(archive, prefix):
                self.names.append(_clean(member.name))
                self._spans.append((member.offset_data, member.size))

    def read(self, number: int) -> bytes:
        offset, size = self._spans[number]
        with self.path.open("rb", buffering=0) as f:
            f.seek(offset)
            return f.read(size)


class CompressedTar:
    """A compressed tar archive, which has no random access: kept in memory, still encoded.

    In one tensor, because processes that prepare batches share tensors rather than copy them.
    """

    def __init__(self, path: Path, prefix: str) -> None:
        self.prefix = prefix
        self.names, self._spans = [], []
        content = bytearray()
        with tarfile.open(path, "r|*") as archive:
            for member in _members(archive, prefix):
                file = archive.extractfile(member)
                if file is not None:
                    self.names.append(_clean(member.name))
                    self._spans.append((len(content), member.size))
                    content += file.read()
        self._content = torch.frombuffer(content or bytearray(1), dtype=torch.uint8)

    def read(self, number: int) -> bytes:
        offset, size = self._spans[number]
        return self._content[offset : offset + size].numpy().tobytes()


class Zip:
    """A zip archive; each process and thread that reads opens it anew."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.path, self.prefix = path, prefix
        with zipfile.ZipFile(path) as archive:
            self.names = sorted(n for n in archive.namelist() if _is_picture(n, prefix))
        self._opened: dict[tuple[int, int], zipfile.ZipFile] = {}

    def read(self, number: int) -> bytes:
        place = (os.getpid(), threading.get_ident())
        if place not in self._opened:
            self._opened[place] = zipfile.ZipFile(self.path)
        try:
            return self._opened[place].read(self.names[number])
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as e:
            raise OSError(str(e)) from e

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": {}}


def _members(archive: tarfile.TarFile, prefix: str) -> Iterator[tarfile.TarInfo]:
    for member in archive:
        if member.isfile() and _is_picture(_clean(member.name), prefix):
            yield member


def _clean(name: str) -> str:
    """``./a/b.png``, as ``tar -c .`` writes it, is ``a/b.png``."""
    return name.removeprefix("./")
