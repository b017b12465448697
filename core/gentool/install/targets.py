"""From what people type after ``gentool install`` to wheels that were checked."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from gentool import registry
from gentool.environment import normal
from gentool.errors import InstallError, RegistryError, UsageError, did_you_mean
from gentool.files import expand
from gentool.install import contents, pip
from gentool.install.archive import Wheel, read_wheel
from gentool.progress import silent
from gentool.registry import Row
from gentool.weights import sha256

if TYPE_CHECKING:
    from packaging.requirements import Requirement

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """A checked wheel and the extras of it that were asked for, ``[train]``."""

    wheel: Wheel
    extras: str = ""

    @property
    def requirement(self) -> str:
        """For pip's command line."""
        return f"{self.wheel.path}{self.extras}"


def collect(words: Iterable[str], folder: Path, say: Say) -> list[Target]:
    """Get every wheel, and those of the plugins they require, and check them all.

    Args:
        words: names, folders of projects, wheels; a name may end in ``[extra]``.
        folder: where wheels that are fetched or built are put.
        say: told what happens, one line each.

    Raises:
        GentoolError: something cannot be had, or is not safe; nothing was installed.
    """
    targets = [_target(word, folder, say) for word in words]
    waiting = list(targets)
    while waiting:
        for name in _missing_plugins(waiting.pop(), targets):
            found = _required(name, folder, say)
            targets.append(found)
            waiting.append(found)
    return targets


def _target(word: str, folder: Path, say: Say) -> Target:
    found = re.search(r"\[[^][/\\]*\]\Z", word)  # brackets may also occur in a path
    extras = found[0] if found else ""
    name = word.removesuffix(extras)
    path = expand(name)
    if is_path(name):
        return Target(_local(path, folder, say), extras)
    row = registry.find(name)
    if row is None:
        if os.path.isdir(path):
            raise UsageError(f"no registry knows '{name}'; for the folder, type ./{name}")
        known = {n for row in registry.load(report=silent) for n in row.claims()}
        raise UsageError(
            f"no registry knows '{name}'{did_you_mean(name, known)}; see gentool search, "
            "or give the path of a wheel or of a project's folder"
        )
    return Target(fetch(row, folder, say), extras)


def is_path(word: str) -> bool:
    """Whether a word is a path: a bare word is a name, whatever lies in the current folder."""
    return word.endswith(".whl") or word in (".", "..") or any(sep in word for sep in "/\\")


def _local(path: Path, folder: Path, say: Say) -> Wheel:
    if not os.path.exists(path):  # unlike path.exists(), it never raises
        raise UsageError(f"{path}: no such file or folder")
    if path.is_dir():
        say(f"building {path}: your own choice, its build code runs unchecked")
        path = build(path, folder)
    elif path.suffix != ".whl":
        raise UsageError(f"{path}: neither a wheel nor a project's folder")
    else:
        say(f"installing {path.name}: your own choice, no registry vouches for it")
    wheel = read_wheel(path)
    contents.verify(wheel)
    return wheel


def build(project: Path, folder: Path) -> Path:
    """Build the wheel of a project's folder; runs the project's build code.

    Raises:
        InstallError: it is no project, or cannot be built.
    """
    import tomllib

    try:
        text = (project / "pyproject.toml").read_text(encoding="utf-8")
        needed = tomllib.loads(text).get("build-system", {}).get("requires", ["setuptools"])
    except FileNotFoundError:
        raise InstallError(f"{project}: no project of a plugin: it has no pyproject.toml") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise InstallError(f"{project}: no project of a plugin: {e}") from e
    # what is at hand saves an environment, and a network, for each build
    flags: list[str | Path] = ["--no-build-isolation"] if _at_hand(needed) else []
    into = folder / f"built-{len(list(folder.iterdir()))}"
    pip.run(
        *("wheel", "--quiet", "--no-deps", *flags, "--wheel-dir", into, project.resolve()),
        doing=f"build {project}",
    )
    found = list(into.glob("*.whl"))
    if len(found) != 1:
        raise InstallError(f"{project}: building it gives {len(found)} wheels instead of one")
    return found[0]


def _at_hand(needed: Iterable[str]) -> bool:
    """Whether everything that a build requires is installed."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirements = [Requirement(line) for line in needed]
    except (InvalidRequirement, TypeError):  # pip says what is wrong with it
        return False
    here = [r for r in requirements if r.marker is None or r.marker.evaluate()]
    return all(r.url is None and _is_installed(r) for r in here)


def fetch(row: Row, folder: Path, say: Say) -> Wheel:
    """Download the wheel of a registry row, compare its hash, and check what it holds.

    Raises:
        GentoolError: it is not published, cannot be had, or is not what the row says.
    """
    wanted = row.published
    if wanted is None:
        raise UsageError(
            f"{row.name} is not published yet; {row.how_to_get()}, and install its path"
        )
    if row.tier == "deprecated":
        say(f"{row.name} is deprecated: {row.summary}")
    say(f"getting {wanted.file} ({wanted.bytes:,} bytes)")
    path = folder / wanted.file
    if urlsplit(wanted.url).scheme == "file":
        _copy(file_path(wanted.url), path, wanted.bytes)
    elif wanted.url:
        from gentool.fetch import fetch as get

        path.write_bytes(get(wanted.url, wanted.bytes))
    else:
        listed = folder / f"{wanted.file}.txt"
        pinned = f"{row.distribution}=={wanted.version} --hash=sha256:{wanted.sha256}\n"
        listed.write_text(pinned, encoding="utf-8")
        pip.run(
            *("download", "--quiet", "--only-binary", ":all:", "--no-deps", "--require-hashes"),
            *("--dest", folder, "--requirement", listed),
            doing=f"download {wanted.file}",
        )
    if not path.is_file():
        raise InstallError(f"{row.distribution} {wanted.version}: the index has no {wanted.file}")
    if path.stat().st_size != wanted.bytes or sha256(path) != wanted.sha256:
        raise InstallError(
            f"{wanted.file}: not the file that {row.registry} lists (hash differs); "
            "nothing was installed"
        )
    wheel = read_wheel(path)
    contents.verify(wheel, row)
    return wheel


def file_path(url: str) -> Path:
    """The path that a ``file:`` address stands for; on Windows it may name another machine."""
    parts = urlsplit(url)
    host = f"//{parts.netloc}" if parts.netloc not in ("", "localhost") else ""
    return Path(host + url2pathname(parts.path))


def _copy(source: Path, path: Path, limit: int) -> None:
    try:
        with source.open("rb") as f:
            data = f.read(limit + 1)
    except OSError as e:
        raise RegistryError(f"{source}: cannot read: {e.strerror or e}") from e
    path.write_bytes(data)


def _missing_plugins(target: Target, targets: Iterable[Target]) -> list[str]:
    """Other gentool plugins that a wheel requires and that are neither installed nor at hand.

    An index must not be asked for them: there, anyone may have taken such a name.
    """
    from packaging.requirements import Requirement

    extras = [e.strip() for e in target.extras.strip("[]").split(",")] if target.extras else []
    at_hand = {normal(t.wheel.name) for t in targets}
    missing = []
    for line in target.wheel.requires:
        requirement = Requirement(line)
        marker = requirement.marker
        wanted = marker is None or any(marker.evaluate({"extra": e}) for e in ["", *extras])
        name = normal(requirement.name)
        if wanted and name not in at_hand and not _is_installed(requirement) and is_ours(name):
            missing.append(name)
    return missing


def is_ours(name: str) -> bool:
    """Whether a normalised name belongs to gentool or to a plugin of a registry.

    Raises:
        InstallError: a registry cannot be used, and what it lists is not to come from an index.
    """
    if name.startswith("gentool-"):
        return True
    try:
        return name in {normal(row.distribution) for row in registry.load()}
    except RegistryError as e:
        raise InstallError(
            f"{e}; {name} may be a plugin that it lists, so no index is asked for it; "
            "nothing was installed"
        ) from e


def _is_installed(requirement: Requirement) -> bool:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def _required(name: str, folder: Path, say: Say) -> Target:
    row = registry.find(name)
    if row is None:
        raise InstallError(
            f"{name} is required, but no registry knows it; install it first, from its path; "
            "nothing was installed"
        )
    return Target(fetch(row, folder, say))
