"""``gentool install NAME|PATH|WHEEL ...``."""

from __future__ import annotations

from pathlib import Path

import click

from gentool.cli.talk import Talk
from gentool.errors import UsageError


@click.command(name="install")
@click.argument("what", metavar="NAME|FOLDER|WHEEL...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Check everything, install nothing.")
@click.option(
    "--download",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Put the checked wheels there, install nothing.",
)
def command(what: tuple[str, ...], dry_run: bool, download: Path | None) -> None:
    """Install plugins, by the name that `gentool search` shows, or from a path.

    The wheel of a name comes from where the registry says; its hash, its contents and its weights
    are checked before anything of it runs, and what it requires is installed as wheels only. The
    gentool and torch that are installed stay. A folder or wheel of your own is your own choice.
    """
    from gentool.install import changes

    if dry_run and download:
        raise UsageError("--download: installs nothing; leave out --dry-run")
    done = changes.install(what, Talk().note, dry_run, download)
    if download is None:
        tell("would install" if dry_run else "installed", done)


def tell(verb: str, done: list[tuple[str, str]]) -> None:
    """One line for each distribution that was changed."""
    for name, version in done:
        click.echo(f"{verb} {name} {version}")
