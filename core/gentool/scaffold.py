"""Write a new plugin's project from the templates that ship with gentool.

A template is a folder of files whose text and names go through :class:`string.Template`; the
suffix ``.tmpl`` is dropped. ``shared`` goes into every project.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import keyword
import os
import string
import tempfile
from pathlib import Path

from gentool import __version__, registry
from gentool.cards import NAME
from gentool.errors import OutputError, UsageError
from gentool.progress import silent

TEMPLATES = Path(__file__).with_name("template")
KINDS = {
    "method": ("gentool.methods", "Takes noise out of pictures, for gentool"),
    "losses": ("gentool.extensions", "A loss for gentool's trainers"),
    "metrics": ("gentool.extensions", "A metric for gentool"),
}
EXTRAS = {"method": '\n[project.optional-dependencies]\ntrain = ["gentool-core[train]"]\n'}


def create(name: str, kind: str = "method", folder: Path | None = None, author: str = "") -> Path:
    """Write the project of a plugin called ``name``, whole or not at all.

    Args:
        name: of the method or extension; the distribution is ``gentool-NAME``.
        kind: ``method``, ``losses`` or ``metrics``.
        folder: where; None for ``gentool-NAME`` in the current one.
        author: for the licence and the metadata.

    Returns:
        The folder.

    Raises:
        UsageError: the name is malformed or taken.
        OutputError: the folder is there and not empty, or cannot be written.
    """
    words = _words(name, kind, author)
    folder = folder or Path(words["distribution"])
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder}: is there and not empty; choose another folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        there = folder.exists()  # it may be the current folder or a mount: not to be replaced
        beside = folder if there else folder.parent
        with tempfile.TemporaryDirectory(dir=beside, prefix=".gentool-") as temporary:
            project = Path(temporary) / "project"
            project.mkdir()
            if kind == "method":
                words |= _weights(project, words)
            for part in ("shared", kind):
                _render(TEMPLATES / part, project, words)
            if there:
                for item in project.iterdir():
                    os.replace(item, folder / item.name)
            else:
                os.replace(project, folder)
    except OSError as e:
        raise OutputError(f"{folder}: cannot write: {e.strerror or e}") from e
    return folder


def _words(name: str, kind: str, author: str) -> dict[str, str]:
    """What the templates' placeholders stand for."""
    if not NAME.match(name) or len(name) > 40 or name.endswith("-") or "--" in name:
        raise UsageError(f"'{name}': a name is lower-case letters, digits and single hyphens")
    title = "".join(part.capitalize() for part in name.split("-"))  # a class of this name
    if keyword.iskeyword(name.replace("-", "_")) or keyword.iskeyword(title):
        raise UsageError(f"'{name}' is a word of Python's own; choose another name")
    for row in registry.load(report=silent, offline=True):
        if {name, f"gentool-{name}"} & row.claims():
            raise UsageError(f"'{name}' is taken by {row.distribution}; choose another name")
    group, description = KINDS[kind]
    major, minor = __version__.split(".")[:2]
    distribution = f"gentool-{name}"
    author = " ".join(author.split()) or f"The {distribution} authors"
    return {
        "name": name,
        "distribution": distribution,
        "package": distribution.replace("-", "_"),
        "title": title,
        "group": group,
        "description": description,
        "author": author,
        "author_quoted": json.dumps(author, ensure_ascii=False),  # TOML escapes as JSON does
        "year": str(dt.datetime.now(tz=dt.UTC).year),
        "train": "[train]" if kind in EXTRAS else "",
        "extras": EXTRAS.get(kind, ""),
        # before 1.0 every minor version may break plugins, see docs/stability.md
        "core": f">={major}.{minor},<{f'0.{int(minor) + 1}' if major == '0' else int(major) + 1}",
    }


def _render(template: Path, project: Path, words: dict[str, str]) -> None:
    for source in sorted(template.rglob("*.tmpl")):
        name = string.Template(str(source.relative_to(template))).substitute(words)
        target = (project / name).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        text = string.Template(source.read_text(encoding="utf-8")).substitute(words)
        target.write_text(text, encoding="utf-8", newline="\n")


def _weights(project: Path, words: dict[str, str]) -> dict[str, str]:
    """The small trained network of the template, under the new method's name."""
    data = (TEMPLATES / "weights.safetensors").read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"]["method"] = words["name"]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    renamed = len(text).to_bytes(8, "little") + text + data[end:]
    folder = project / "src" / words["package"] / "weights"
    folder.mkdir(parents=True)
    (folder / f"{words['name']}.safetensors").write_bytes(renamed)
    return {
        "weights_bytes": f"{len(renamed):_}",
        "weights_sha256": hashlib.sha256(renamed).hexdigest(),
    }
