"""``gentool new NAME [FOLDER]``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from gentool.cli.paths import FullPath


@click.command(name="new")
@click.argument("name")
@click.argument("folder", required=False, type=FullPath())
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

    made = create(name, kind, folder, author)
    click.echo(made)
    typed = shlex.quote(str(made))  # to be copied to a shell
    click.echo(f"Now: pip install -e {typed}; gentool check {typed}; edit, and repeat.", err=True)
