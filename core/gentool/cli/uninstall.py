"""``gentool uninstall NAME ...``."""

from __future__ import annotations

import click

from gentool.cli.install import tell
from gentool.cli.talk import Talk


@click.command(name="uninstall")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def command(names: tuple[str, ...]) -> None:
    """Remove plugins, by method, extension or distribution. Broken ones too: none is loaded."""
    from gentool.install import changes

    tell("removed", changes.uninstall(names, Talk().note))
