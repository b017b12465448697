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
                found += _parse(folder)
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


def _parse(folder: str) -> Iterator[EntryPoint]:
    text = _read(os.path.join(folder, FILE))
    if "gentool." not in text:
        return
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif group.startswith("gentool.") and "=" in line and line[0] != "#":
            name, _, value = line.partition("=")
            yield EntryPoint(name.strip(), value.strip(), group, folder)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
