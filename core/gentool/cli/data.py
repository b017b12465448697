"""``gentool data inspect PATH``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gentool.cli.main import OK, PART_FAILED
from gentool.cli.paths import OutputFile
from gentool.cli.talk import Talk, note, printable
from gentool.errors import OutputError
from gentool.files import check_writable, expand, real, write_file

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
    from gentool.training.data.inspect import contact_sheet, inspect

    sheet = None if no_sheet else _sheet(paths, output)
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
    if sheet and found.widths:
        drawn = contact_sheet(pictures, list(found.bad)).encode(sheet.suffix)
        click.echo(write_file(sheet, drawn, replace=output is not None), err=as_json)
    return PART_FAILED if found.bad else OK


def _sheet(paths: tuple[str, ...], output: Path | None) -> Path | None:
    """Where the contact sheet goes, found out before the work; None if it goes nowhere.

    Raises:
        OutputError: it cannot go where it was asked for.
    """
    from gentool.encoding import check_suffix

    path = output or Path(f"{_stem(paths[0])}-sheet.png")
    among = any(real(path).is_relative_to(real(expand(p))) for p in paths if p)
    if output is not None:
        check_suffix(output.suffix)
        if among:
            raise OutputError(f"-o {output}: would lie among the pictures; choose another place")
        if not output.parent.is_dir():
            raise OutputError(f"-o {output}: there is no folder {output.parent}")
    elif among:
        note(f"no contact sheet: {path} would lie among the pictures; give -o")
        return None
    check_writable(path.parent)
    return path


def _stem(path: str) -> str:
    r"""``cifar10`` of ``data/cifar10.tar.xz:train/``, ``pictures`` of ``C:\pictures``."""
    whole = expand(path)
    # unlike those of Path these never raise; what is wrong with it, the work tells
    file = whole if os.path.exists(whole) else Path(path.rpartition(":")[0])
    return real(file).name.partition(".")[0] or "pictures"


def _print(found: Inspection) -> None:
    def counted(counts: dict[str, int]) -> str:
        return printable(", ".join(f"{count:,} {name}" for name, count in counts.items()))

    click.echo(
        f"pictures  {found.count:,}; methods that validate on pictures keep {found.held_out:,} out"
    )
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
        click.echo(printable(f"  {name}: {reason}"))
    if len(found.bad) > SHOWN:
        click.echo(f"  and {len(found.bad) - SHOWN:,} more; --json lists all")
