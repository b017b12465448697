"""``gentool check [NAME|FOLDER|WHEEL]``."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import click

from gentool.cards import to_stderr
from gentool.cli.main import OK, PART_FAILED
from gentool.cli.talk import table
from gentool.errors import GentoolError, InstallError, UsageError
from gentool.files import expand

Row = dict[str, Any]


@click.command(name="check")
@click.argument("what", metavar="[NAME|FOLDER|WHEEL]", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(what: str, as_json: bool) -> int:
    """Check a plugin of yours: card, weights, options, imports, results, training, wheel.

    This runs its code; of a stranger's wheel, `gentool install --dry-run` runs nothing. NAME is an
    installed plugin. Of a FOLDER (this one by default) the wheel is built; a WHEEL is first checked
    without running it, then unpacked and tried. Each failure says how to mend it; the exit code is
    then 1.
    """
    from gentool.install.targets import is_path

    with to_stderr():
        rows = _check_path(expand(what)) if is_path(what) else _check_name(what)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        shown = [(r["plugin"], r["status"], r["check"], "\n".join(r["details"])) for r in rows]
        table(("plugin", "status", "check", "details"), shown)
    return PART_FAILED if any(row["status"] == "failed" for row in rows) else OK


def _check_name(name: str) -> list[Row]:
    from gentool import testing

    try:
        return [dataclasses.asdict(result) for result in testing.check(name)]
    except UsageError:
        if not os.path.isdir(expand(name)):
            raise
        return _check_path(expand(name))


def _check_path(path: Path) -> list[Row]:
    from gentool.install import contents, targets
    from gentool.install.archive import read_wheel
    from gentool.testing.wheel import complete

    with tempfile.TemporaryDirectory(prefix="gentool-") as name:
        folder = Path(name)
        try:
            file = targets.build(path, folder) if os.path.isdir(path) else path
            if not os.path.isfile(file):
                raise InstallError(f"{file}: no such wheel")
            wheel = read_wheel(file)
            contents.verify(wheel)
            contents.records(wheel)
        except GentoolError as e:
            return [_row(path.resolve().name, [str(e).replace("; nothing was installed", "")])]
        findings = complete(wheel.licences, wheel.metadata)
        rows = [_row(wheel.name, [str(finding) for finding in findings])]
        with zipfile.ZipFile(wheel.path) as archive:
            archive.extractall(folder / "site")  # the names were checked
        return rows + _check_apart(wheel.name, folder / "site")


def _row(plugin: str, details: list[str]) -> Row:
    status = "failed" if details else "ok"
    return {
        "plugin": plugin,
        "check": "wheel is safe and complete",
        "status": status,
        "details": details,
    }


def _check_apart(distribution: str, site: Path) -> list[Row]:
    """Check the plugin unpacked in ``site``, in a process of its own."""
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gentool", "check", distribution, "--json"],
        capture_output=True,
        text=True,
        errors="replace",  # plugins write what they like
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    try:
        rows: list[Row] = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines() or ["nothing"]
        return [_row(distribution, [f"checking it ended with {done.returncode}: {said[-1]}"])]
    return rows
