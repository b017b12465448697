"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gentool.errors import OutputError, did_you_mean


def expand(path: str | Path) -> Path:
    """``~/a.png`` in full; a file that is called ``~a.png`` is left as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no user of that name
        return Path(path)


def similar(path: Path) -> str:
    """``"; did you mean 'photo.png'?"`` for a file that is not there, or an empty string."""
    try:
        return did_you_mean(path.name, [p.name for p in path.parent.iterdir()])
    except OSError:
        return ""


def write_atomic(path: Path, data: bytes, replace: bool = True) -> Path:
    """Write a file through a temporary one in the same folder.

    Args:
        path: where to.
        data: what.
        replace: overwrite a file of that name; else take the next free name, ``name-2.png``.

    Returns:
        The path written.

    Raises:
        OSError: as the system says; nothing is left behind.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        with contextlib.suppress(OSError):  # mkstemp gives 0600; a result is an ordinary file
            os.chmod(temporary, 0o666 & ~_umask())
        if replace:
            os.replace(temporary, path)
            return path
        for candidate in numbered(path):
            try:
                os.link(temporary, candidate)  # fails if the name was taken meanwhile
            except FileExistsError:
                continue
            except OSError:  # a file system without hard links
                if candidate.exists():
                    continue
                os.replace(temporary, candidate)
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
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as e:
        raise OutputError(f"-o {folder}: cannot write there: {e.strerror or e}") from e


def numbered(path: Path) -> Iterator[Path]:
    """``name.png``, ``name-2.png``, ``name-3.png`` ..."""
    yield path
    number = 2
    while True:
        yield path.with_stem(f"{path.stem}-{number}")
        number += 1


@functools.cache
def _umask() -> int:
    # it can only be read by setting it, which other threads' new files would feel: do so once
    mask = os.umask(0)
    os.umask(mask)
    return mask
