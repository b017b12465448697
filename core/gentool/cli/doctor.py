"""``gentool doctor``."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from gentool import __version__, extensions, plugins
from gentool.cli.main import OK, PART_FAILED
from gentool.cli.talk import table
from gentool.distributions import CORE
from gentool.errors import GentoolError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from gentool.cards import Card


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> int:
    """Check Python, torch, devices, plugins and weights. Exits 1 if something is wrong."""
    rows = list(_checks())
    if as_json:
        facts = [{"what": w, "status": s, "detail": d} for w, s, d in rows]
        click.echo(json.dumps(facts, indent=2))
    else:
        table(("what", "status", "detail"), rows)
    return OK if all(status in ("ok", "slow") for _, status, _ in rows) else PART_FAILED


def _checks() -> Iterator[tuple[str, str, str]]:
    yield "gentool", "ok", __version__
    yield "python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}"
    for required in _required():
        wanted = f"'{required.name}{required.specifier}'"
        try:
            version = importlib.metadata.version(required.name)
        except importlib.metadata.PackageNotFoundError:
            yield required.name, "broken", f"not installed; pip install {wanted}"
            continue
        if required.specifier.contains(version, prereleases=True):
            yield required.name, "ok", version
        else:
            yield required.name, "broken", f"{version} will not do; pip install {wanted}"
    try:
        from gentool.compute import choose, describe

        for device, detail in describe().items():
            yield f"device {device}", "ok", detail
        chosen = choose()
        yield "default", "ok", f"{chosen.device}, {chosen.precision}"
    except Exception as e:  # a torch that cannot be imported is what doctor is asked to find
        yield "device", "broken", f"{type(e).__name__}: {e}"
    for plugin in map(plugins.check, [*plugins.methods(), *extensions.installed()]):
        detail = f"{plugin.distribution} {plugin.version}"
        trouble = f": {plugin.trouble}" if plugin.trouble else ""
        yield f"plugin {plugin.name}", plugin.status, detail + trouble
        if plugin.card and plugin.usable:
            yield from _weights(plugin.card)


def _required() -> list[Requirement]:
    """What the core cannot do without; nothing where it has no metadata, as a bare source tree."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires(CORE) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = map(Requirement, lines)
    return [r for r in found if r.marker is None or r.marker.evaluate({"extra": ""})]


def _weights(card: Card) -> Iterator[tuple[str, str, str]]:
    from gentool.weights import packaged, read_header

    for entry in card.weights:
        label = f"weights {card.name}/{entry.name}"
        try:
            path, _ = packaged(card, entry.name)
            count = read_header(path).parameters
            yield label, "ok", f"{count:,} parameters, {entry.bytes:,} bytes, sha256 verified"
        except GentoolError as e:
            yield label, "broken", str(e)
