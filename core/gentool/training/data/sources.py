"""Where pictures come from: folders, and archives that are read without unpacking."""

from __future__ import annotations

import lzma
import os
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

import torch

from gentool.errors import TrainingError, did_you_mean
from gentool.files import expand, is_hidden, similar
from gentool.images import SUFFIXES

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz", ".zip")
_DAMAGED = (
    *(OSError, EOFError, UnicodeError),
    *(tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error),
)


Span = tuple[int, int]  # where a file begins, and its size


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


def find(text: str | Path, flag: str = "--data") -> Source:
    """What ``--data`` means: a folder, an archive, or a part of one as ``ARCHIVE:PREFIX``.

    Args:
        text: the path.
        flag: by which it was given, for messages; empty if by none.

    Raises:
        TrainingError: there is no such thing, or it cannot be read.
    """
    if not str(text).strip():  # an unset variable does not mean the current folder
        raise TrainingError(f"{flag or 'PATH'}: the path is empty")
    path, prefix, said = expand(text), "", f"{flag} {text}".lstrip()
    try:
        if not path.exists() and ":" in str(text):
            before, _, prefix = str(text).rpartition(":")
            path, prefix = expand(before), _clean(prefix)
        if path.is_dir() and not prefix:
            return Folder(path)
        if path.is_file() and path.name.lower().endswith(ARCHIVES):
            found = _archive(path, prefix.rstrip("/") + "/" if prefix else "")
            if prefix and not found.names:
                parts = sorted({name.partition("/")[0] for name in _archive(path, "").names})
                raise TrainingError(
                    f"{said}: no pictures in that part of {path}"
                    f"{did_you_mean(prefix, parts)} (it has {', '.join(parts[:8])})"
                )
            return found
        there = path.exists()
    except _DAMAGED as e:
        raise TrainingError(f"{said}: cannot read it: {e}") from e
    if not there:
        raise TrainingError(f"{said}: no such folder or archive{similar(path)}")
    if path.is_dir():
        raise TrainingError(f"{said}: a part of a folder is given by its own path")
    raise TrainingError(f"{said}: not a folder, nor one of the archives {', '.join(ARCHIVES)}")


# compressed archives in use: what is held out of a set is a set of its own, of the same archive
_UNPACKED: WeakValueDictionary[tuple[str, str, int, int], Source] = WeakValueDictionary()


def _archive(path: Path, prefix: str) -> Source:
    name = path.name.lower()
    if name.endswith(".zip"):
        return Zip(path, prefix)
    if name.endswith(".tar"):
        return Tar(path, prefix)
    stat = path.stat()
    key = (str(path.resolve()), prefix, stat.st_mtime_ns, stat.st_size)
    found = _UNPACKED.get(key)
    if found is None:
        found = _UNPACKED[key] = CompressedTar(path, prefix)
    return found


def _is_picture(name: str, prefix: str = "") -> bool:
    *folders, last = name.removeprefix(prefix).split("/")
    return (
        name.startswith(prefix)
        and not any(is_hidden(part) for part in (*folders, last))
        and os.path.splitext(last)[1].lower() in SUFFIXES
    )


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Folders and the files in each; a link that leads back into them is not followed twice."""

    def fail(error: OSError) -> None:
        raise error

    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=fail):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        # sorted: which of a folder's links comes first decides its names
        folders[:] = sorted(part for part in folders if not is_hidden(part))
        seen.add(real)
        yield folder, names


class Folder:
    """Every picture below a folder, linked folders included."""

    prefix = ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = sorted(
            Path(folder, name).relative_to(root).as_posix()
            for folder, names in _walk(root)
            for name in names
            if _is_picture(name)
        )

    def read(self, number: int) -> bytes:
        return (self.root / self.names[number]).read_bytes()


class Tar:
    """A plain tar archive: pictures are read from where they lie in it."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.path, self.prefix = path, prefix
        spans: dict[str, Span] = {}
        with tarfile.open(path, "r:") as archive:
            for name, member in _members(archive, prefix, spans):
                spans[name] = (member.offset_data, member.size)
        self.names, self._spans = list(spans), list(spans.values())

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
        content, spans = bytearray(), dict[str, Span]()
        with tarfile.open(path, "r|*") as archive:
            for name, member in _members(archive, prefix, spans):
                file = archive.extractfile(member)
                assert file is not None, "a regular file has content"
                spans[name] = (len(content), member.size)
                content += file.read()
        self.names, self._spans = list(spans), list(spans.values())
        self._content = torch.frombuffer(content or bytearray(1), dtype=torch.uint8)

    def read(self, number: int) -> bytes:
        offset, size = self._spans[number]
        content: bytes = self._content.numpy()[offset : offset + size].tobytes()
        return content


class Zip:
    """A zip archive; each process that reads opens it anew, for all of its threads."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.path, self.prefix = path, prefix
        with zipfile.ZipFile(path) as archive:
            members = {_clean(name): name for name in archive.namelist() if name[-1:] != "/"}
        self.names = sorted(name for name in members if _is_picture(name, prefix))
        self._members = [members[name] for name in self.names]
        self._opened: dict[int, zipfile.ZipFile] = {}

    def read(self, number: int) -> bytes:
        archive = self._opened.get(os.getpid())
        if archive is None:  # no lock: a forked process would inherit it taken; the first one stays
            archive = self._opened.setdefault(os.getpid(), zipfile.ZipFile(self.path))
        try:
            return archive.read(self._members[number])
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as e:
            raise OSError(str(e)) from e

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": {}}


def _members(
    archive: tarfile.TarFile, prefix: str, spans: dict[str, Span]
) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Pictures of an archive; links get the spans of what they name without further ado."""
    links: dict[str, str] = {}
    for member in archive:
        name = _clean(member.name)
        if not _is_picture(name, prefix):
            continue
        if member.isfile():
            yield name, member
        elif member.islnk():
            links[name] = _clean(member.linkname)
        elif member.issym():
            beside = posixpath.join(posixpath.dirname(name), member.linkname)
            links[name] = _clean(posixpath.normpath(beside))
    for name in links:
        target = name
        for _ in links:  # no more steps than there are links, should they lead in a circle
            target = links.get(target, target)
        if target in spans:
            spans[name] = spans[target]


def _clean(name: str) -> str:
    """A name without ``./``, ``..`` and leading slashes, which are no folders of classes."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))
