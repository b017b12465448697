"""``gentool freeze``."""

from __future__ import annotations

import click


@click.command(name="freeze")
def command() -> None:
    """Print the installed plugins with versions and hashes, for `gentool restore`.

    gentool freeze > plugins.toml
    """
    from gentool.install.frozen import freeze

    click.echo(freeze(), nl=False)
