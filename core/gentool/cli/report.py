"""``gentool report RUN``."""

from __future__ import annotations

from pathlib import Path

import click

from gentool.cli.paths import FullPath, OutputFile
from gentool.files import write_file


@click.command(name="report")
@click.argument("run", type=FullPath())
@click.option(
    "-o",
    "--output",
    type=OutputFile(),
    help="The page to write (default: RUN/report.html).",
)
def command(run: Path, output: Path | None) -> None:
    """Write one HTML page about a training: curves, previews, settings, hardware.

    RUN is the folder that `gentool train -o RUN` made; a training that still goes on will do.
    """
    from gentool.training.report import report

    page = report(run)
    path = output or run / "report.html"
    write_file(path, page.encode(errors="backslashreplace"))  # a name may be no text
    click.echo(path)
