"""``gentool list``: imports neither torch nor pydantic, whatever is installed."""

from __future__ import annotations

from typing import Any

import click

from gentool import extensions, plugins
from gentool.cli.main import OK, PART_FAILED
from gentool.cli.talk import note, table
from gentool.environment import normal
from gentool.loading import Plugin


@click.command(name="list")
@click.option("--all", "all_", is_flag=True, help="Also show known plugins that are not installed.")
@click.option("--check", is_flag=True, help="Import the code of every method and report failures.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(all_: bool, check: bool, as_json: bool) -> int:
    """Show the methods that are installed.

    A plugin that is broken, incompatible or doubled is a row with the cause and the fix. With
    --check the exit code is 1 if there is one.
    """
    found = [(plugin, "method") for plugin in plugins.methods()]
    found += [(plugin, "extension") for plugin in extensions.installed()]
    if check:
        found = [(plugins.check(plugin), kind) for plugin, kind in found]
    rows = [_installed(plugin, kind) for plugin, kind in found]
    if all_:
        rows += _available({row["distribution"] for row in rows})
    if as_json:
        import json

        click.echo(json.dumps(rows, indent=2))
    else:
        columns = ("name", "kind", "status", "version", "distribution", "summary")
        table(columns, [[row[c] for c in columns] for row in rows])
    good = all(row["status"] in ("ok", "slow", "available") for row in rows)
    return OK if good or not check else PART_FAILED


def _installed(plugin: Plugin, kind: str) -> dict[str, Any]:
    card = plugin.card
    summary = card.summary if card else ""
    if card and not card.actions:
        summary = f"(training only) {summary}"
    if kind == "extension" and plugin.usable:
        offered = plugin.offers.items()
        summary = "; ".join(f"{kind}: {', '.join(r.name for r in rs)}" for kind, rs in offered)
    return {
        "name": plugin.name,
        "kind": kind,
        "status": plugin.status,
        "version": plugin.version,
        "distribution": plugin.distribution,
        "summary": plugin.trouble or summary,
        "task": card.task if card else "",
        "actions": [a.name for a in card.actions] if card else [],
        "weights": [w.name for w in card.weights] if card else [],
        "cause": plugin.cause,
        "fix": plugin.fix,
    }


def _available(installed: set[str]) -> list[dict[str, Any]]:
    from gentool import registry

    return [
        {
            "name": row.name,
            "kind": "method" if row.methods else "extension",
            "status": "available",
            "version": "",
            "distribution": row.distribution,
            "summary": row.summary,
            "task": "",
            "actions": [],
            "weights": [],
            "cause": "",
            "fix": row.how_to_get(),
        }
        for row in registry.load(report=note)
        if normal(row.distribution) not in map(normal, installed)
    ]
