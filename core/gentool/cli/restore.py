"""``gentool restore FILE``."""

from __future__ import annotations

from pathlib import Path

import click

from gentool.cli.install import tell
from gentool.cli.talk import Talk
from gentool.files import expand


@click.command(name="restore")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check everything, install nothing.")
def command(file: Path, dry_run: bool) -> None:
    """Install the plugins that `gentool freeze` wrote into FILE, in the same versions."""
    from gentool.install.frozen import restore

    tell("would install" if dry_run else "installed", restore(expand(file), Talk().note, dry_run))
