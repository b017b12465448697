"""``gentool schema NAME [ACTION]``."""

from __future__ import annotations

import json

import click

from gentool import cards, plugins
from gentool.errors import UsageError


@click.command(name="schema")
@click.argument("name")
@click.argument("action", required=False)
def command(name: str, action: str | None) -> None:
    """Print the JSON Schema of the options of NAME's ACTION (`train` for its training)."""
    card = plugins.card(name)
    if action == "train":
        if card.training is None:
            raise UsageError(f"{name} cannot be trained")
        reference = card.training.options
    else:
        reference = card.action(action).options
    click.echo(json.dumps(cards.resolve(reference).model_json_schema(), indent=2))
