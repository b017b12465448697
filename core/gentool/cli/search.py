"""``gentool search [WORD]``."""

from __future__ import annotations

import dataclasses

import click

from gentool.cli.talk import note, table


@click.command(name="search")
@click.argument("word", default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(word: str, as_json: bool) -> None:
    """Find plugins in the registries by name, method or summary. Works offline."""
    from gentool import registry

    found = registry.search(registry.load(report=note), word)
    if as_json:
        import json

        click.echo(json.dumps([dataclasses.asdict(row) for row in found], indent=2))
        return
    columns = ("name", "tier", "licence", "summary", "get it")
    rows = [(r.name, r.tier, r.licence, r.summary, r.how_to_get()) for r in found]
    table(columns, rows)
    if not found:
        note(f"no plugin has '{word}' in its name or summary")
