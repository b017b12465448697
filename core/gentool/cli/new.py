"""``gentool new NAME [FOLDER]``."""

from __future__ import annotations

from pathlib import Path

import click

from gentool.files import expand


@click.command(name="new")
@click.argument("name")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["method", "losses", "metrics"]),
    default="method",
    show_default=True,
    help="What the plugin brings.",
)
@click.option("--author", default="", help="For the licence and the metadata.")
def command(name: str, folder: Path | None, kind: str, author: str) -> None:
    """Start a plugin of your own: a project that works and passes `gentool check` as it is.

    Without FOLDER it is written to gentool-NAME in this folder.
    """
    from gentool.scaffold import create

    made = create(name, kind, expand(folder) if folder else None, author)
    click.echo(made)
    click.echo(f"Now: pip install -e {made}; gentool check {made}; edit, and repeat.", err=True)
