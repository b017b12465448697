"""Where registries come from: the copy that ships with gentool, and further ones you name.

``GENTOOL_REGISTRY`` names further ones, separated by spaces; the list ``registries`` in the
configuration file does the same. Each is a file or an ``https://`` address. The first that knows a
name decides, and gentool's own comes first: no other can put something else behind a name of its.
"""

from __future__ import annotations

import functools
import os
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from gentool.environment import normal
from gentool.errors import RegistryError, UsageError, did_you_mean
from gentool.files import expand
from gentool.registry.rows import MAX_BYTES, Row, parse


def _packaged() -> Path:
    """The copy in the wheel, or the repository's own in a source checkout."""
    packaged = Path(__file__).parents[1] / "registry.toml"
    return packaged if packaged.exists() else Path(__file__).parents[3] / "registry.toml"


def config_file() -> Path:
    r"""The user's configuration: ``GENTOOL_CONFIG``, or ``config.toml`` in the usual place.

    That is ``~/.config/gentool`` (``XDG_CONFIG_HOME``) on Linux, ``~/Library/Application
    Support/gentool`` on macOS and ``%APPDATA%\gentool`` on Windows.
    """
    if chosen := os.environ.get("GENTOOL_CONFIG"):
        return expand(chosen)
    import click

    return Path(click.get_app_dir("gentool")) / "config.toml"


def _configured() -> list[str]:
    """Further registries of the configuration file; relative paths start from its folder.

    Raises:
        UsageError: the file cannot be read or holds something else.
    """
    path = config_file()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise UsageError(f"{path}: cannot read the configuration: {e}") from e
    for name in data:
        if name != "registries":
            raise UsageError(
                f"{path}: unknown setting '{name}'{did_you_mean(name, ['registries'])}"
            )
    names = data.get("registries", [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise UsageError(f"{path}: 'registries' must be a list of files and https:// addresses")
    return [name if "://" in name else str(path.parent / expand(name)) for name in names]


def names() -> list[str]:
    """Paths and addresses of all registries, gentool's own first.

    Raises:
        UsageError: the configuration file is not sound.
    """
    further = [*_words(os.environ.get("GENTOOL_REGISTRY", "")), *_configured()]
    return [str(_packaged()), *dict.fromkeys(further)]


def _words(text: str) -> list[str]:
    """Split at spaces; quotes hold a path with spaces together."""
    try:
        words = shlex.split(text, posix=os.name != "nt")  # there, backslashes are no escapes
    except ValueError:  # a single quote, of a name
        words = text.split()
    return [word.strip("\"'") for word in words]


@functools.cache
def read(name: str) -> tuple[Row, ...]:
    """The rows of one registry, a file or an ``https://`` address.

    Raises:
        RegistryError: it cannot be read or is not sound.
    """
    if "://" in name:
        from gentool.fetch import fetch

        return tuple(parse(fetch(name, MAX_BYTES), name, name))
    path = expand(name)
    try:
        with path.open("rb") as f:
            data = f.read(MAX_BYTES + 1)
    except OSError as e:
        raise RegistryError(f"{path}: cannot read the registry: {e.strerror or e}") from e
    return tuple(parse(data, str(path), path.resolve().as_uri()))


def load(report: Callable[[str], None] | None = None, offline: bool = False) -> list[Row]:
    """The rows of all registries, by name; where two know a name, the first one's.

    Args:
        report: told, in one line each, which registries cannot be used; None raises instead.
        offline: leave out those that would have to be fetched.

    Raises:
        RegistryError: a registry is not sound and there is no ``report``.
        UsageError: the configuration file is not sound.
    """
    return sorted(_rows(report, offline), key=lambda row: row.name)


def find(word: str) -> Row | None:
    """The row of a plugin, a method or a distribution; asks further registries only if needed.

    Raises:
        RegistryError: a registry that had to be asked is not sound.
        UsageError: the configuration file is not sound.
    """
    return next((row for row in _rows() if normal(word) in row.claims()), None)


def _rows(report: Callable[[str], None] | None = None, offline: bool = False) -> Iterator[Row]:
    """Rows of one registry after another, less those that claim a name of an earlier registry."""
    taken: set[str] = set()
    for name in names():
        if offline and "://" in name:
            continue
        try:
            rows = [row for row in read(name) if not row.claims() & taken]
        except RegistryError as e:
            if report is None:
                raise
            report(str(e))
            continue
        yield from rows
        taken.update(*(row.claims() for row in rows))
