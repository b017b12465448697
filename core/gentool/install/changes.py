"""Install and uninstall: all the checks, then one call of pip."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gentool import environment, registry
from gentool.distributions import CORE, EXTENSIONS, METHODS
from gentool.environment import EntryPoint, normal
from gentool.errors import GentoolError, InstallError, OutputError, UsageError, did_you_mean
from gentool.files import expand, write_atomic
from gentool.install import pip
from gentool.install.targets import Say, Target, collect, file_path, is_ours
from gentool.progress import silent

if TYPE_CHECKING:
    from packaging.requirements import Requirement


@dataclass(frozen=True)
class Installed:
    """A distribution that has entry points for gentool.

    Attributes:
        name, version: of the distribution.
        provides: names of its methods and extensions.
        methods: names of its methods.
        requires: normalised names of what it requires.
        origin: pip's record of where it came from (PEP 610); empty if from an index.
    """

    name: str
    version: str
    provides: tuple[str, ...]
    methods: frozenset[str]
    requires: frozenset[str]
    origin: dict[str, Any]


def installed() -> list[Installed]:
    """Every installed plugin, switched off or not, sorted by name; imports none of them."""
    entries: dict[str, list[EntryPoint]] = {}
    for entry in environment.entry_points():
        if entry.group in (METHODS, EXTENSIONS):
            entries.setdefault(entry.folder, []).append(entry)
    found: dict[str, Installed] = {}
    for offered in entries.values():
        distribution = offered[0].dist
        name = distribution.metadata["Name"]
        if name and normal(name) not in found:
            found[normal(name)] = Installed(
                name,
                distribution.version,
                tuple(sorted(entry.name for entry in offered)),
                frozenset(entry.name for entry in offered if entry.group == METHODS),
                frozenset(_names(distribution.requires or ())),
                json.loads(distribution.read_text("direct_url.json") or "{}"),
            )
    return [found[name] for name in sorted(found)]


def with_extra(name: str, extra: str) -> str:
    """The command that gives an installed plugin what an extra of it brings."""
    plugin = next((p for p in installed() if normal(p.name) == normal(name)), None)
    if plugin and "dir_info" in plugin.origin:
        name = str(file_path(plugin.origin["url"]))
        if plugin.origin["dir_info"].get("editable"):  # ours would put a copy in its place
            return f"pip install -e '{name}[{extra}]'"
    # by its name, what no registry has could not be had again
    elif plugin and not _is_published(name) and (by_hand := _by_hand(name, extra)):
        return by_hand
    return f"gentool install '{name}[{extra}]'"


def _is_published(name: str) -> bool:
    """Whether a registry at hand has a wheel of a distribution; none is fetched for a hint."""
    try:
        rows = registry.load(report=silent, offline=True)
    except GentoolError:  # of the configuration, which is not what is asked about here
        return False
    return any(row.published for row in rows if normal(row.distribution) == normal(name))


def _by_hand(name: str, extra: str) -> str:
    """The commands for what an extra of an installed distribution requires; empty if nothing."""
    indexed, missing = list[str](), list[str]()
    for needed in _requirements(importlib.metadata.requires(name) or ()):
        marker, needed.marker = needed.marker, None
        if (
            marker is None
            or marker.evaluate({"extra": ""})
            or not marker.evaluate({"extra": extra})
        ):
            continue
        if normal(needed.name) == CORE or not normal(needed.name).startswith("gentool-"):
            indexed.append(f"'{needed}'")
        elif not _is_there(needed.name):  # a plugin, which no index is asked for
            missing.append(f"gentool install the wheel of {needed.name}")
    return " and ".join([f"pip install {' '.join(indexed)}"] * bool(indexed) + missing)


def _names(requirements: Iterable[str]) -> Iterable[str]:
    return (normal(requirement.name) for requirement in _requirements(requirements))


def _requirements(lines: Iterable[str]) -> Iterator[Requirement]:
    from packaging.requirements import InvalidRequirement, Requirement

    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue


def install(
    words: Sequence[str],
    say: Say,
    dry_run: bool = False,
    download: Path | None = None,
    versions: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """Get, check and install plugins, or none of them.

    Args:
        words: names, wheels, folders of projects.
        say: told what happens, one line each.
        dry_run: stop before anything is changed.
        download: put the checked wheels into this folder and install nothing.
        versions: of distributions that must be among them.

    Returns:
        Name and version of everything that was, or would be, installed.

    Raises:
        GentoolError: one of them cannot be had, is not safe, or pip failed.
    """
    if download is None and not dry_run and (instead := _managed(words)):
        raise InstallError(instead)
    with tempfile.TemporaryDirectory(prefix="gentool-") as name:
        folder = Path(name)
        targets = collect(words, folder, say)
        _versions(targets, versions or {})
        _clashes(targets)
        if download is not None:
            return _keep(targets, download, say)
        report = folder / "report.json"
        what = ", ".join(target.wheel.name for target in targets)
        files = [target.requirement for target in targets]
        pip.install(files, doing=f"install {what}", report=report)
        plan = _plan(report, targets)
        before = {normal(p.name): p.version for p in installed()}
        if not dry_run:
            pip.install(files, doing=f"install {what}")
            again = [t for t in targets if before.get(normal(t.wheel.name)) == t.wheel.version]
            if again:  # pip leaves a wheel of the version that is there alone
                paths = [target.wheel.path for target in again]
                pip.install(paths, "--force-reinstall", "--no-deps", doing=f"install {what}")
        return sorted({*plan, *((t.wheel.name, t.wheel.version) for t in targets)})


def _versions(targets: Iterable[Target], wanted: Mapping[str, str]) -> None:
    """A project's folder may have moved on, or hold another plugin by now."""
    found = {normal(target.wheel.name): target.wheel.version for target in targets}
    for name, version in wanted.items():
        there = found.get(normal(name), "another plugin")
        if there != version:
            raise InstallError(
                f"{name} {version} cannot be had: its folder holds {there} by now; "
                "nothing was installed"
            )


def _clashes(targets: Sequence[Target]) -> None:
    """No plugin takes the name of another distribution, or of another plugin's method."""
    plugins = {normal(plugin.name): plugin.methods for plugin in installed()}
    coming = {normal(t.wheel.name): frozenset(t.wheel.entries.get(METHODS, ())) for t in targets}
    for target in targets:
        name = normal(target.wheel.name)
        if name not in plugins and _is_there(name):
            raise InstallError(
                f"{target.wheel.path.name}: {name} is installed and no gentool plugin; "
                "it will not be replaced; nothing was installed"
            )
        for other, methods in {**plugins, **coming}.items():
            if other != name and (both := methods & coming[name]):
                raise InstallError(
                    f"{target.wheel.path.name}: brings the method '{min(both)}', which {other} "
                    f"provides; gentool uninstall {other} first; nothing was installed"
                )


def _is_there(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _managed(words: Sequence[str]) -> str | None:
    file = "./WHEEL"
    instead = pip.managed("install", "", file)
    if instead is None:
        return None
    if all(word.endswith(".whl") for word in words):
        return instead.replace(file, " ".join(words))
    return f"{instead} (gentool install {' '.join(words)} --download . checks and puts it there)"


def _keep(targets: Iterable[Target], folder: Path, say: Say) -> list[tuple[str, str]]:
    folder = expand(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target in targets:
            path = folder / target.wheel.path.name
            if not (path.exists() and path.samefile(target.wheel.path)):
                write_atomic(path, target.wheel.path.read_bytes())
            say(f"checked {path}")
    except OSError as e:
        raise OutputError(f"{folder}: cannot write: {e.strerror or e}") from e
    return [(target.wheel.name, target.wheel.version) for target in targets]


def _plan(report: Path, targets: Iterable[Target]) -> list[tuple[str, str]]:
    """What pip is about to install, none of it a plugin that was not checked."""
    checked = {normal(target.wheel.name) for target in targets}
    plan = []
    for item in json.loads(report.read_text(encoding="utf-8"))["install"]:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if normal(name) not in checked and is_ours(normal(name)):
            raise InstallError(
                f"{name} {version} would come from an index, where anyone may have taken that "
                "name; install it first, by its own name or path; nothing was installed"
            )
        plan.append((name, version))
    return plan


def uninstall(words: Sequence[str], say: Say) -> list[tuple[str, str]]:
    """Remove plugins, broken ones too.

    Args:
        words: names of methods, extensions or distributions.
        say: told what will miss them, one line each.

    Returns:
        Name and version of what was removed.

    Raises:
        UsageError: one is not installed, or a name belongs to two distributions.
        InstallError: another program looks after this environment, or pip failed.
    """
    plugins = installed()
    going = [_named(word, plugins) for word in words]
    names = {normal(plugin.name) for plugin in going}
    for plugin in plugins:
        if normal(plugin.name) not in names and (missed := names & plugin.requires):
            say(f"{plugin.name} requires {', '.join(sorted(missed))} and may stop working")
    listed = " ".join(sorted(names))
    if instead := pip.managed("uninstall", listed):
        raise InstallError(instead)
    pip.run("uninstall", "--yes", *sorted(names), doing=f"uninstall {listed}")
    return [(plugin.name, plugin.version) for plugin in going]


def _named(word: str, plugins: Sequence[Installed]) -> Installed:
    wanted = normal(word)
    by_name = [plugin for plugin in plugins if normal(plugin.name) == wanted]
    found = by_name or [plugin for plugin in plugins if word in plugin.provides]
    if len(found) > 1:
        names = " and ".join(plugin.name for plugin in found)
        raise UsageError(f"'{word}' is provided by {names}; say which")
    if found:
        return found[0]
    if wanted == CORE:
        raise UsageError(f"{CORE} is gentool itself; remove it with pip")
    known = [name for plugin in plugins for name in (plugin.name, *plugin.provides)]
    raise UsageError(f"no plugin '{word}' is installed{did_you_mean(word, known)}")
