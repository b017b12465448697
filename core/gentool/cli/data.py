"""``gentool data inspect PATH``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gentool.cli.main import OK, PART_FAILED
from gentool.cli.paths import OutputFile
from gentool.cli.talk import Talk, note
from gentool.files import expand, real, write_file

if TYPE_CHECKING:
    from gentool.training.data.inspect import Inspection

SHOWN = 20


@click.group(name="data")
def command() -> None:
    """Look at pictures before training on them."""


@command.command(name="inspect")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "-o",
    "--output",
    type=OutputFile(),
    help="Where the contact sheet of 64 of the pictures goes (default: a new name in this folder).",
)
@click.option("--no-sheet", is_flag=True, help="Write no contact sheet.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect_command(
    paths: tuple[str, ...], output: Path | None, no_sheet: bool, as_json: bool
) -> int:
    """Count pictures, sizes, formats and classes, and find bad files. Exits 1 if there are some.

    PATH is what `gentool train --data` takes: a folder, an archive, or ARCHIVE:PREFIX.
    """
    from gentool.encoding import check_suffix
    from gentool.training.data.inspect import contact_sheet, inspect

    if output:
        check_suffix(output.suffix)
    pictures, found = inspect(paths, Talk(as_json))
    if as_json:
        click.echo(
            json.dumps(
                {
                    "count": found.count,
                    "held_out": found.held_out,
                    "classes": found.classes,
                    "formats": found.formats,
                    "modes": found.modes,
                    "sizes": found.sizes,
                    "bad": found.bad,
                },
                indent=2,
            )
        )
    else:
        _print(found)
    if not no_sheet and found.widths:
        path = output or Path(f"{_stem(paths[0])}-sheet.png")
        if output is None and any(real(path).is_relative_to(real(expand(p))) for p in paths):
            note(f"no contact sheet: {path} would lie among the pictures; give -o")
        else:
            sheet = contact_sheet(pictures, list(found.bad))
            path = write_file(path, sheet.encode(path.suffix), replace=output is not None)
            click.echo(path, err=as_json)
    return PART_FAILED if found.bad else OK


def _stem(path: str) -> str:
    r"""``cifar10`` of ``data/cifar10.tar.xz:train/``, ``pictures`` of ``C:\pictures``."""
    whole = expand(path)
    file = whole if whole.exists() else Path(path.rpartition(":")[0])
    return file.resolve().name.partition(".")[0] or "pictures"


def _print(found: Inspection) -> None:
    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in counts.items())

    click.echo(f"pictures  {found.count:,}, of which {found.held_out:,} are kept for validation")
    click.echo(f"sizes     {found.sizes}")
    click.echo(f"formats   {counted(dict(found.formats.most_common())) or 'none'}")
    click.echo(f"modes     {counted(dict(found.modes.most_common())) or 'none'}")
    shown = dict(list(found.classes.items())[:SHOWN])
    more = len(found.classes) - len(shown)
    click.echo(
        f"classes   {len(found.classes)}: {counted(shown)}" + (f" and {more} more" if more else "")
        if found.classes
        else "classes   none: not every picture lies in a folder of its class"
    )
    click.echo(f"bad       {len(found.bad):,}")
    for name, reason in list(found.bad.items())[:SHOWN]:
        click.echo(f"  {name}: {reason}")
    if len(found.bad) > SHOWN:
        click.echo(f"  and {len(found.bad) - SHOWN:,} more; --json lists all")
