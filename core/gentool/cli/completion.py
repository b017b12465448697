"""``gentool completion SHELL``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    For bash: eval "$(gentool completion bash)" in ~/.bashrc.
    """
    complete = get_completion_class(shell)
    root = ctx.find_root()
    if complete is not None:
        script = complete(root.command, {}, "gentool", "_GENTOOL_COMPLETE").source()
        # where gentool has nothing to offer, bash completes file names itself
        click.echo(script.replace("complete -o nosort", "complete -o nosort -o default"))
