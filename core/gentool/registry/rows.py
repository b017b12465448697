"""``registry.toml``: its rows, and the checks that every row passes before anyone sees it.

The format is described in ``docs/registry.md``. A registry is data and is never executed; a text
of it may still be hostile, so names are matched against patterns, numbers have limits, and no
text holds control characters, which a terminal would obey.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

from gentool.environment import normal
from gentool.errors import RegistryError

SCHEMA = 1
TIERS = ("core", "verified", "community", "deprecated")
MAX_BYTES = 4 << 20  # of a registry file
MAX_WHEEL = 1 << 30
MAX_ROWS = 20_000
_NAME = r"[a-z][a-z0-9-]{0,63}"
_DISTRIBUTION = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?"
_SHA256 = r"[0-9a-f]{64}"
_WHEEL = r"[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(-\d\w*)?-[\w.]+-[\w.]+-[\w.]+\.whl"
_RANGE = r"[<>=!~]=?[\d.*]+(, *[<>=!~]=?[\d.*]+)*"


@dataclass(frozen=True, eq=False)
class Weights:
    """One set of weights of a plugin; the fields are some of :class:`gentool.WeightsFile`."""

    name: str
    file: str
    bytes: int
    sha256: str
    licence: str
    trained_on: str
    origin: str


@dataclass(frozen=True, eq=False)
class Published:
    """The wheel that a row stands for.

    Attributes:
        version: of the distribution.
        file: name of the wheel.
        bytes, sha256: of the wheel.
        url: where it lies; empty if it is taken from the package index.
    """

    version: str
    file: str
    bytes: int
    sha256: str
    url: str = ""


@dataclass(frozen=True, eq=False)
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
        source: where its code lies, for one that is not published.
        weights: what it packages.
        published: the wheel that ``gentool install`` takes; None if there is none yet.
        registry: which registry says so.
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
    weights: tuple[Weights, ...] = ()
    published: Published | None = None
    registry: str = ""

    def claims(self) -> set[str]:
        """The names that lead to this plugin: its own, its distribution's, its methods'."""
        return {self.name, normal(self.distribution), *self.methods}

    def how_to_get(self) -> str:
        """What to type to have it."""
        if self.published:
            return f"gentool install {self.name}"
        return f"get {self.distribution} from {self.source or self.homepage}"


def parse(data: bytes, registry: str, base: str = "") -> list[Row]:
    """Read and validate one registry.

    Args:
        data: the TOML file.
        registry: its path or URL, for error texts.
        base: path or URL that relative URLs of wheels start from; empty if there may be none.

    Returns:
        Its rows, sorted by name.

    Raises:
        RegistryError: it is too large, not TOML, or a row lacks a field or holds a bad value.
    """
    if len(data) > MAX_BYTES:
        raise RegistryError(f"{registry}: larger than {MAX_BYTES >> 20} MiB, not a registry")
    try:
        content = tomllib.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as e:
        raise RegistryError(f"{registry}: not a registry: {e}") from e
    if content.get("schema") != SCHEMA:
        raise RegistryError(
            f"{registry}: registry schema {content.get('schema')!r}, this gentool reads {SCHEMA}"
        )
    raw = _Table(content, registry).tables("plugin")
    if len(raw) > MAX_ROWS:
        raise RegistryError(f"{registry}: more than {MAX_ROWS} plugins")
    rows = [_row(table, base) for table in raw]
    for one, other in itertools.pairwise(sorted(n for row in rows for n in row.claims())):
        if one == other:
            raise RegistryError(f"{registry}: two plugins claim the name '{one}'")
    return sorted((replace(row, registry=registry) for row in rows), key=lambda row: row.name)


class _Table:
    """One TOML table, read field by field; every complaint says where."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise RegistryError(f"{where}: must be a table")
        self.values, self.where = values, where

    def text(self, name: str, pattern: str = r"[^\0]{1,2000}", default: str | None = None) -> str:
        value = self.values.get(name, default)
        if not isinstance(value, str) or (value != default and not value.isprintable()):
            raise RegistryError(f"{self.where}: '{name}' must be a text of printable characters")
        if value != default and not re.fullmatch(pattern, value):
            raise RegistryError(f"{self.where}: '{name}' cannot be {value[:80]!r}")
        return value

    def number(self, name: str, limit: int) -> int:
        value = self.values.get(name)
        if type(value) is not int or not 0 < value <= limit:
            raise RegistryError(f"{self.where}: '{name}' must be a whole number, 1 to {limit}")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name)
        good = isinstance(value, list) and all(
            isinstance(item, str) and re.fullmatch(_NAME, item) for item in value
        )
        if not good:
            raise RegistryError(f"{self.where}: '{name}' must be a list of names")
        return tuple(value or ())

    def tables(self, name: str) -> list[_Table]:
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise RegistryError(f"{self.where}: '{name}' must be a list of tables")
        found = []
        for number, item in enumerate(value, 1):
            called = item.get("name", "unnamed") if isinstance(item, dict) else "no table"
            found.append(_Table(item, f"{self.where}: {name} {number} ({str(called)[:64]!r})"))
        return found

    def table(self, name: str) -> _Table | None:
        if name not in self.values:
            return None
        return _Table(self.values[name], f"{self.where}: {name}")


def _row(t: _Table, base: str) -> Row:
    tier = t.text("tier")
    if tier not in TIERS:
        raise RegistryError(f"{t.where}: 'tier' must be one of {', '.join(TIERS)}")
    published = t.table("published")
    row = Row(
        name=t.text("name", _NAME),
        distribution=t.text("distribution", _DISTRIBUTION),
        methods=t.names("methods"),
        summary=t.text("summary"),
        tier=tier,
        licence=t.text("licence"),
        gentool=t.text("gentool", _RANGE),
        homepage=t.text("homepage", default=""),
        source=t.text("source", default=""),
        weights=tuple(_weights(w) for w in t.tables("weights")),
        published=_published(published, t.text("distribution"), base) if published else None,
    )
    if not (row.published or row.source or row.homepage):
        raise RegistryError(f"{t.where}: needs 'published', or a 'source' or 'homepage' to go to")
    return row


def _weights(t: _Table) -> Weights:
    return Weights(
        name=t.text("name"),
        file=t.text("file", r"\w[\w./-]*"),
        bytes=t.number("bytes", MAX_WHEEL),
        sha256=t.text("sha256", _SHA256),
        licence=t.text("licence"),
        trained_on=t.text("trained_on"),
        origin=t.text("origin"),
    )


def _published(t: _Table, distribution: str, base: str) -> Published:
    version, file = t.text("version", r"[\w.!+]{1,64}"), t.text("file", _WHEEL)
    stem = re.sub(r"[-_.]+", "_", distribution).lower()
    if not file.lower().startswith(f"{stem}-{version.lower()}-"):
        raise RegistryError(f"{t.where}: 'file' {file} is no wheel of {distribution} {version}")
    return Published(
        version=version,
        file=file,
        bytes=t.number("bytes", MAX_WHEEL),
        sha256=t.text("sha256", _SHA256),
        url=_url(t, base),
    )


def _url(t: _Table, base: str) -> str:
    """Where a wheel lies, in full: always https, or a file beside a registry that is a file."""
    url = t.text("url", default="")
    if not url:
        return ""
    try:
        full = urljoin(base, url) if base else url
        scheme = urlsplit(full).scheme
    except ValueError as e:
        raise RegistryError(f"{t.where}: 'url' cannot be {url[:80]!r}: {e}") from e
    if not scheme or scheme not in ("https", urlsplit(base).scheme):
        raise RegistryError(f"{t.where}: 'url' must begin with https://, got {url[:80]!r}")
    return full
