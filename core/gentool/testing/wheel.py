"""Check of what the plugin's wheel holds."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gentool.errors import GentoolError
from gentool.testing.subject import Finding, Subject


def wheel_holds_card_weights_and_licence(subject: Subject) -> Iterator[Finding]:
    """Of an editable plugin the wheel is built; of an installed one, its files are looked at."""
    distribution = subject.entry.dist
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        yield from _files(distribution)
        return
    from gentool.install.archive import read_wheel
    from gentool.install.contents import verify
    from gentool.install.targets import build, file_path

    project = file_path(origin["url"])
    with tempfile.TemporaryDirectory(prefix="gentool-") as folder:
        try:
            wheel = read_wheel(build(project, Path(folder)))
            verify(wheel)
        except GentoolError as e:
            yield Finding(str(e), f"correct {project / 'pyproject.toml'} or the card")
            return
        yield from complete(wheel.licences, wheel.metadata)


def _files(distribution: importlib.metadata.Distribution) -> Iterator[Finding]:
    names = [str(file) for file in distribution.files or ()]
    licences = tuple(name for name in names if ".dist-info/licenses/" in name)
    yield from complete(licences, distribution.read_text("METADATA") or "")


def complete(licences: tuple[str, ...], metadata: str) -> Iterator[Finding]:
    """What a wheel should say of itself beside what makes it safe to install."""
    head, _, description = metadata.partition("\n\n")
    if not licences:
        remedy = 'add a LICENSE file and license-files = ["LICENSE"] to pyproject.toml'
        yield Finding("the wheel holds no licence", remedy)
    if "\nLicense-Expression:" not in head:
        yield Finding("the wheel names no licence", 'add license = "MIT" (SPDX) to pyproject.toml')
    if "\nSummary:" not in head:
        yield Finding("the wheel has no summary", "add description = ... to pyproject.toml")
    if not description.strip():
        remedy = 'write a README.md and add readme = "README.md" to pyproject.toml'
        yield Finding("the wheel has no description", remedy)
