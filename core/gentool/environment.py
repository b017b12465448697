"""The entry points of what is installed.

Found where ``importlib.metadata`` finds them, in the folders of ``sys.path``, but without importing
it: with the parsers for e-mail, CSV and zip behind it, it costs half as much as all the rest of
``gentool list``. Distributions inside zip files are not seen: weights must be files.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import Distribution

FILE = "entry_points.txt"
INFO = (".dist-info", ".egg-info")


@dataclass(frozen=True)
class EntryPoint:
    """What a distribution offers under a name.

    Attributes:
        name: of what is offered.
        value: where it is, ``package.module`` or ``package.module:attribute``.
        group: what kind of thing it is, ``gentool.methods``.
        folder: the distribution's metadata, ``.../gentool_adain-0.1.0.dist-info``.
    """

    name: str
    value: str
    group: str
    folder: str

    @property
    def module(self) -> str:
        return self.value.partition(":")[0].strip()

    @property
    def dist(self) -> Distribution:
        """The distribution, for everything that need not be quick."""
        from importlib.metadata import Distribution

        return Distribution.at(self.folder)

    def load(self) -> Any:
        """Import what the entry point names."""
        found: Any = importlib.import_module(self.module)
        attributes = self.value.partition(":")[2].partition("[")[0].strip()
        for name in filter(None, attributes.split(".")):
            found = getattr(found, name)
        return found

    def read(self, file: str) -> str:
        """A file of the metadata; empty if there is none."""
        return _read(os.path.join(self.folder, file))


def normal(distribution: str) -> str:
    """A distribution's name as indexes compare it (PEP 503): ``My_Plugin`` -> ``my-plugin``."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@functools.cache
def entry_points() -> tuple[EntryPoint, ...]:
    """Every entry point in a group of gentool's, in the order of ``sys.path``.

    Of two distributions of one name the first counts, as it does for imports.
    """
    seen: set[str] = set()
    found: list[EntryPoint] = []
    for path in dict.fromkeys(sys.path):
        for folder in _metadata(path or "."):
            name = normal(os.path.basename(folder).rpartition(".")[0].partition("-")[0])
            if name not in seen:
                seen.add(name)
                found += _found(folder)
    return tuple(found)


def _metadata(path: str) -> Iterator[str]:
    """The metadata folders in a folder of ``sys.path``.

    pip renames what it removes to ``~entool_adain-0.1.0.dist-info``, which stays if it is stopped.
    """
    try:
        names = os.listdir(path)  # noqa: PTH208 - at every start; a Path for each name costs
    except OSError:  # not there, a zip file, not ours to read
        return
    good = (name for name in names if name.endswith(INFO) and name[0] != "~")
    yield from (os.path.join(path, name) for name in good)


def _found(folder: str) -> Iterator[EntryPoint]:
    text = _read(os.path.join(folder, FILE))
    if "gentool." in text:
        for group, name, value in parse(text):
            if group.startswith("gentool.") and value is not None:
                yield EntryPoint(name, value, group, folder)


def parse(text: str) -> Iterator[tuple[str, str, str | None]]:
    """Group, name and value of every entry point in the text of an ``entry_points.txt``.

    Line by line, indented or not, as the standard library and pip read it; and as the checks before
    an installation do, so that nothing is hidden from them. The value is None of a line that has
    no ``=``, the group empty before the first heading.
    """
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]").strip()
        elif line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            yield group, name.strip(), value.strip() if equals else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
