"""The catalogue of plugins that exist, installed or not: ``registry.toml``.

A copy ships with gentool, so that listing works offline. Its rows for first-party plugins are
generated from their cards (``make docs``).
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gentool.errors import RegistryError, did_you_mean

SCHEMA = 1
TIERS = ("core", "verified", "community", "deprecated")
MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class Row:
    """One plugin of the catalogue.

    Attributes:
        name: what people call it.
        distribution: the name pip knows.
        methods: the methods it brings.
        summary: one line.
        tier: ``core``, ``verified``, ``community`` or ``deprecated``.
        licence: of the code.
        gentool: versions of gentool-core it works with, ``>=0.1,<0.2``.
        homepage: where it is described.
        source: where to install it from: a path in gentool's repository or a URL.
    """

    name: str
    distribution: str
    methods: tuple[str, ...]
    summary: str
    tier: str
    licence: str
    gentool: str
    homepage: str = ""
    source: str = ""


def _path() -> Path:
    """The packaged copy, or the repository's own in a source checkout."""
    packaged = Path(__file__).with_name("registry.toml")
    return packaged if packaged.exists() else Path(__file__).parents[2] / "registry.toml"


def read(path: Path) -> list[Row]:
    """Read and validate one registry file.

    Raises:
        RegistryError: it is too large, not TOML, or a row lacks a field or holds a wrong type.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RegistryError(f"{path}: larger than {MAX_BYTES >> 20} MiB, not a registry")
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise RegistryError(f"{path}: cannot read the registry: {e}") from e
    if data.get("schema") != SCHEMA:
        raise RegistryError(
            f"{path}: registry schema {data.get('schema')!r}, this gentool reads {SCHEMA}"
        )
    rows = [_row(path, i, raw) for i, raw in enumerate(data.get("plugin", []), 1)]
    return sorted(rows, key=lambda row: row.name)


def _row(path: Path, number: int, raw: dict[str, Any]) -> Row:
    where = f"{path}: plugin {number} ({raw.get('name', 'unnamed')})"
    values: dict[str, Any] = {}
    for name in Row.__dataclass_fields__:
        optional = name in ("homepage", "source")
        value = raw.get(name, "" if optional else None)
        if name == "methods":
            if not isinstance(value, list) or not all(isinstance(m, str) for m in value):
                raise RegistryError(f"{where}: 'methods' must be a list of names")
            value = tuple(value)
        elif not isinstance(value, str) or not (value or optional):
            raise RegistryError(f"{where}: '{name}' must be a text")
        values[name] = value
    if values["tier"] not in TIERS:
        raise RegistryError(f"{where}: 'tier' must be one of {', '.join(TIERS)}")
    return Row(**values)


@functools.cache
def load() -> tuple[Row, ...]:
    """The rows of the registry that came with gentool."""
    return tuple(read(_path()))


def explain_missing(method: str, installed: Iterable[str]) -> str:
    """Why there is no such method here: not installed, or not known at all."""
    rows = load()
    for row in rows:
        if method in row.methods:
            return (
                f"method '{method}' is not installed; get {row.distribution} "
                f"from {row.source or row.homepage}"
            )
    known = {m for row in rows for m in row.methods} | set(installed)
    return f"there is no method '{method}'{did_you_mean(method, known)}; see gentool list --all"
