"""Flags from a TOML file: ``--config``, of this command line and of plugins' own commands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any

from gentool.errors import UsageError, did_you_mean
from gentool.files import expand


def read_config(path: str, known: Iterable[str]) -> dict[str, Any]:
    """Flags from a TOML file; ``content-size`` and ``content_size`` are the same.

    Raises:
        UsageError: the path is empty, or the file cannot be read or holds a name that is no flag
            here.
    """
    if not path.strip():  # it is the current folder, which an unset variable does not mean
        raise UsageError("--config: the path is empty")
    try:
        # Windows editors put a byte-order mark in front, which "utf-8-sig" takes away
        data = tomllib.loads(expand(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else e
        raise UsageError(f"--config {path}: {reason}") from e
    values = {name.replace("-", "_"): value for name, value in data.items()}
    if len(values) < len(data):
        raise UsageError(f"--config {path}: an option is given twice, with - and with _")
    names = list(known)
    for name in values:
        if name not in names:
            near = did_you_mean(name, names).replace("_", "-")
            raise UsageError(f"--config {path}: no option '{name.replace('_', '-')}'{near}")
    return values
