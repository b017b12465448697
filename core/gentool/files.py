"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from gentool.errors import OutputError, did_you_mean


def expand(path: str | Path) -> Path:
    """``~/a.png`` in full; a file that is called ``~a.png`` is left as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no user of that name
        return Path(path)


def real(path: Path) -> Path:
    """Absolute and without links; ``Path.resolve`` raises where links go round in a circle."""
    return Path(os.path.realpath(path))


def is_hidden(name: str) -> bool:
    """What systems leave beside pictures: thumbnails, deleted ones, macOS's ._a.jpg."""
    return name.startswith(".") or name in ("@eaDir", "__MACOSX")


def similar(path: Path) -> str:
    """``"; did you mean 'photo.png'?"`` for a file that is not there, or an empty string."""
    try:
        there = [p.name for p in path.parent.iterdir() if p.name != path.name]  # a dead link's own
        return did_you_mean(path.name, there)
    except OSError:
        return ""


def write_atomic(path: Path, data: bytes, replace: bool = True) -> Path:
    """Write a file through a temporary one in the same folder.

    Args:
        path: where to; with ``replace``, through links to what they point at, and into a device or
            a pipe directly.
        data: what.
        replace: overwrite a file of that name, with the rights that it had; else take the next
            free name, ``name-2.png``.

    Returns:
        The path written.

    Raises:
        OSError: as the system says; nothing is left behind.
    """
    target = path
    if replace:
        if _is_special(path):
            path.write_bytes(data)
            return path
        target = real(path) if path.is_symlink() else path
    handle, temporary = _new_file(target.parent, target.stem[:40])
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        if replace:
            with contextlib.suppress(OSError):  # there is none, or no such rights here
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            _replace(temporary, target)
            return path
        for candidate in numbered(path):
            try:
                os.link(temporary, candidate)  # fails if the name was taken meanwhile
            except FileExistsError:
                continue
            except OSError:  # a file system without hard links: an empty file keeps the name
                try:
                    os.close(os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    continue
                try:
                    _replace(temporary, candidate)
                except OSError:
                    candidate.unlink()
                    raise
            return candidate
        raise AssertionError("numbered() does not end")
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def write_file(path: Path, data: bytes, replace: bool = True) -> Path:
    """:func:`write_atomic` for users.

    Raises:
        OutputError: it cannot be written; one line says why.
    """
    try:
        return write_atomic(path, data, replace)
    except OSError as e:
        raise OutputError(f"{path}: cannot write: {e.strerror or e}") from e


def check_writable(folder: Path) -> None:
    """Find out before the work whether a folder, or where it will be made, takes files.

    Raises:
        OutputError: it does not.
    """
    above = (folder, *folder.parents)
    there = next((p for p in above if p.exists()), folder)  # not even the drive is there
    try:
        handle, temporary = _new_file(there, "gentool")
        os.close(handle)
        temporary.unlink()
    except OSError as e:
        raise OutputError(f"-o {folder}: cannot write there: {e.strerror or e}") from e


def numbered(path: Path) -> Iterator[Path]:
    """``name.png``, ``name-2.png``, ``name-3.png`` ..."""
    yield path
    number = 2
    while True:
        yield path.with_stem(f"{path.stem}-{number}")
        number += 1


def _is_special(path: Path) -> bool:
    """Whether a device or a pipe is there, ``/dev/null``; a folder is refused when written."""
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing, or links that go round in a circle; what else, writing it tells
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _new_file(folder: Path, stem: str) -> tuple[int, Path]:
    """An open new file of a hidden name; with the rights that any new file has.

    Not by :mod:`tempfile`: on Windows it tries for hours where it may not write (cpython issue
    66305), and makes files that only their owner reads.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        path = folder / f".{stem}-{os.urandom(4).hex()}"
        with contextlib.suppress(FileExistsError):
            return os.open(path, flags, 0o666), path


def _replace(temporary: Path, path: Path) -> None:
    """Put a file in the place of another one, as soon as Windows lets it: virus scanners look."""
    for wait in (0.05, 0.2, 0.5, 1.0, 0.0) if os.name == "nt" else (0.0,):
        try:
            os.replace(temporary, path)
        except PermissionError:
            if not wait:
                raise
            time.sleep(wait)
        else:
            return
