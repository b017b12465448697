"""What is installed, read from package metadata alone: nothing of a plugin is imported here.

``GENTOOL_PLUGINS`` is an allow-list and ``GENTOOL_DISABLE`` a deny-list of plugins, by the name
of the entry point or of the distribution, separated by commas. An empty ``GENTOOL_PLUGINS`` lets
none in.
"""

from __future__ import annotations

import functools
import os
import re

from gentool import __version__, environment
from gentool.environment import EntryPoint, normal

METHODS = "gentool.methods"
EXTENSIONS = "gentool.extensions"
CORE = "gentool-core"


def entry_points(group: str) -> list[EntryPoint]:
    """Entry points of a group that are switched on, sorted by name."""
    found = [e for e in environment.entry_points() if e.group == group]
    found.sort(key=lambda e: (e.name, e.value))
    return [entry for entry in found if switched_off(entry) is None]


def switched_off(entry: EntryPoint) -> str | None:
    """The environment variable that keeps a plugin out, if one does."""
    for variable, keeps_out in (("GENTOOL_PLUGINS", False), ("GENTOOL_DISABLE", True)):
        if variable in os.environ:
            listed = {normal(word.strip()) for word in os.environ[variable].split(",")}
            if bool(listed & {normal(entry.name), normal(name_version(entry)[0])}) is keeps_out:
                return variable
    return None


def switched_off_method(name: str) -> str | None:
    """The environment variable that keeps the method of that name out, if one does."""
    installed = environment.entry_points()
    named = [e for e in installed if (e.group, e.name) == (METHODS, name)]
    return next((variable for entry in named if (variable := switched_off(entry))), None)


@functools.cache
def metadata(entry: EntryPoint) -> tuple[str, str, tuple[str, ...]]:
    """Name, version and requirements of the distribution that an entry point belongs to.

    Read from the head of METADATA: the standard library's parser for e-mail costs more than
    everything else that ``gentool list`` does.
    """
    head = (entry.read("METADATA") or entry.read("PKG-INFO")).partition("\n\n")[0]

    def values(field: str) -> list[str]:
        return re.findall(rf"^{field}: *(.+?) *$", head, re.MULTILINE)

    name, version = values("Name"), values("Version")
    return (
        name[0] if name else "unknown",
        version[0] if version else "?",
        tuple(values("Requires-Dist")),
    )


def name_version(entry: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution that an entry point belongs to."""
    return metadata(entry)[:2]


def mismatch(entry: EntryPoint) -> str | None:
    """The distribution's requirement on gentool-core, if the installed core does not meet it."""
    for line in core_requirements(metadata(entry)[2]):
        if not meets(__version__, line):
            return line
    return None


def core_requirements(requirements: tuple[str, ...]) -> list[str]:
    """Those requirements that are on gentool-core and belong to no extra."""
    core = re.compile(r"gentool[-_.]core(?![-_.\w])", re.IGNORECASE)
    return [line for line in requirements if core.match(line) and "extra ==" not in line]


def meets(version: str, requirement: str) -> bool:
    """Whether a version satisfies ``gentool-core<0.2,>=0.1``."""
    plain = re.fullmatch(r"[\w.-]+ *\(?>=([\d.]+), *<([\d.]+)\)?", requirement) or re.fullmatch(
        r"[\w.-]+ *\(?<(?P<high>[\d.]+), *>=(?P<low>[\d.]+)\)?", requirement
    )
    if plain and re.fullmatch(r"[\d.]+", version):  # what nearly all plugins say, without an import
        low, high = plain.groups() if "low" not in plain.groupdict() else plain.group("low", "high")
        return _release(low) <= _release(version) < _release(high)
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(requirement).specifier.contains(version, prereleases=True)
    except InvalidRequirement:
        return False


def _release(version: str) -> tuple[int, ...]:
    """``0.1.0`` -> (0, 1): trailing zeros do not count."""
    numbers = [int(part) for part in version.strip(".").split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
