"""Write down which plugins are installed, and bring the same ones back."""

from __future__ import annotations

import codecs
import json
import os
import tomllib
from pathlib import Path
from typing import Any

from gentool import __version__, registry
from gentool.environment import normal
from gentool.errors import InstallError, UsageError
from gentool.install.changes import install, installed
from gentool.install.targets import Say, file_path

SCHEMA = 1
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def freeze() -> str:
    """The installed plugins as TOML: distribution, version, hash of the wheel, where it came from.

    Paths are those of this machine: an editable or local plugin can be restored here only.
    """
    lines = [f"schema = {SCHEMA}", f"gentool = {json.dumps(__version__)}"]
    for plugin in installed():
        fields = {"distribution": plugin.name, "version": plugin.version}
        archive = plugin.origin.get("archive_info", {})
        if sha256 := archive.get("hashes", {}).get("sha256"):
            fields["sha256"] = sha256
        if plugin.origin.get("dir_info") is not None:
            fields["folder"] = plugin.origin["url"]
        lines += ["", "[[plugin]]", *(f"{n} = {json.dumps(v)}" for n, v in fields.items())]
    return "\n".join(lines) + "\n"


def restore(path: Path, say: Say, dry_run: bool = False) -> list[tuple[str, str]]:
    """Install what :func:`freeze` wrote down and is not there; all of it or nothing.

    Args:
        path: the file.
        say: told what happens, one line each.
        dry_run: stop before anything is changed.

    Returns:
        Name and version of what was, or would be, installed.

    Raises:
        UsageError: the file cannot be read.
        GentoolError: one of the plugins cannot be had in that version.
    """
    there = {(normal(plugin.name), plugin.version) for plugin in installed()}
    words = []
    versions = {}
    for entry in _read(path):
        name, version = str(entry["distribution"]), str(entry["version"])
        if (normal(name), version) in there:
            say(f"{name} {version} is there")
        else:
            words.append(_where(name, version, entry, path))
            versions[name] = version
    return install(words, say, dry_run, versions=versions) if words else []


def _where(name: str, version: str, entry: dict[str, Any], path: Path) -> str:
    """What to give ``install`` for one plugin of the file."""
    row = registry.find(name)
    published = row.published if row else None
    if published and published.version == version:
        if entry.get("sha256", published.sha256) != published.sha256:
            raise InstallError(
                f"{path}: {name} {version} had another hash than the one its registry lists; "
                "nothing was installed"
            )
        return name
    folder = file_path(str(entry["folder"])) if "folder" in entry else None
    if folder and os.path.isdir(folder):
        return str(folder)
    lists = f"lists {published.version}" if published else "has no wheel of it"
    raise InstallError(
        f"{path}: {name} {version} cannot be had: the registry {lists}; give its wheel to "
        "gentool install; nothing was installed"
    )


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        raw = path.read_bytes()
        # Windows PowerShell 5 writes `gentool freeze > plugins.toml` as UTF-16
        data = tomllib.loads(raw.decode("utf-16" if raw.startswith(_UTF16) else "utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise UsageError(f"{path}: cannot read: {getattr(e, 'strerror', None) or e}") from e
    entries: list[dict[str, Any]] = data.get("plugin", [])
    good = data.get("schema") == SCHEMA and isinstance(entries, list)
    if not good or not all(
        isinstance(e, dict) and {"distribution", "version"} <= e.keys() for e in entries
    ):
        raise UsageError(f"{path}: not a list that gentool freeze wrote")
    return entries
