"""``gentool info NAME|FILE``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from gentool import plugins
from gentool.cli.talk import printable
from gentool.errors import ImageError, UsageError, WeightsError
from gentool.files import expand
from gentool.weights import file_of, packaged, read_header, sha256


@click.command(name="info")
@click.argument("what", metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(what: str, as_json: bool) -> None:
    """Describe a method, a picture or figures and how gentool made them, or a weights file."""
    facts = describe(what)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        _print(facts)


def describe(what: str) -> dict[str, Any]:
    """Facts about a method of that name or else a file of that path."""
    if what in plugins.method_names():
        return _method(what)
    if not what.strip():
        raise UsageError("the name is empty")
    path = file_of(expand(what))
    try:
        exists = path.exists()
    except OSError as e:  # a name that is too long
        raise UsageError(f"{what[:60]}...: {e.strerror}") from e
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return _weights(path)
    if exists and suffix == ".json":
        return _figures(path)
    if exists or suffix:
        return _picture(path)
    plugins.card(what)  # raises, with the nearest name
    raise UsageError(f"'{what}' is neither a method nor a file")


def _method(name: str) -> dict[str, Any]:
    card = plugins.card(name)
    distribution, version = plugins.provider(name)
    facts = dataclasses.asdict(card)
    for entry in facts["weights"]:
        with contextlib.suppress(WeightsError):  # what is wrong with them, doctor tells
            entry["config"] = read_header(packaged(card, entry["name"])[0]).config
    return {"distribution": distribution, "version": version} | facts


def _weights(path: Path) -> dict[str, Any]:
    header = read_header(path)
    try:
        config = header.config
    except WeightsError as e:
        raise WeightsError(f"{path}: {e}") from e
    facts = {
        "file": path.name,
        "bytes": header.bytes,
        "sha256": sha256(path),
        "parameters": header.parameters,
        "tensors": len(header.shapes),
    }
    # what the file says of itself never stands for what was found
    said: dict[str, Any] = {k: v for k, v in header.metadata.items() if k not in (*facts, "config")}
    with contextlib.suppress(KeyError, ValueError):  # of a training: its flags by name
        said["recipe"] = json.loads(said["recipe"])
    return facts | said | {"config": config}


def _picture(path: Path) -> dict[str, Any]:
    from gentool import animation, encoding, images

    suffix = path.suffix.lower()
    if suffix == ".mp4" and path.exists():
        return animation.inspect(path)
    try:
        return encoding.inspect(path)
    except ImageError as e:
        if not path.is_file() or suffix in images.SUFFIXES:
            raise
        raise UsageError(
            f"{path}: is none of the pictures, animations, figures and weights that info "
            f"knows{_maker(suffix)}"
        ) from e


def _figures(path: Path) -> dict[str, Any]:
    """The figures in a JSON file, and how gentool made them."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as e:
        raise UsageError(f"{path}: cannot read the figures: {e}") from e
    if not isinstance(values, dict):
        raise UsageError(f"{path}: holds no figures by name")
    made = values.pop("made_with", None)
    return {"file": path.name, "format": "JSON", "figures": values, "made_with": made}


def _maker(suffix: str) -> str:
    """``"; .gta files are made by gentool run cnn-ae compress"``, or an empty string."""
    for plugin in plugins.methods():
        for action in plugin.card.actions if plugin.card else ():
            if suffix in action.suffixes:
                return f"; {suffix} files are made by gentool run {plugin.name} {action.name}"
    return ""


def _print(facts: Any, indent: str = "") -> None:
    """Nested facts, one a line, empty ones left out."""
    for key, value in facts.items():
        if value in (None, "", [], (), {}):
            continue
        label = key.replace("_", " ")
        if isinstance(value, dict):
            _line(f"{indent}{label}:")
            _print(value, indent + "  ")
        elif isinstance(value, list | tuple) and all(isinstance(v, dict) and v for v in value):
            _line(f"{indent}{label}:")
            for item in value:
                first, *rest = item.items()
                _line(f"{indent}  {first[1]}")
                _print(dict(rest), indent + "    ")
        elif isinstance(value, list | tuple):
            _line(f"{indent}{label}: {', '.join(map(str, value))}")
        else:
            _line(f"{indent}{label}: {value}")


def _line(text: str) -> None:
    click.echo(printable(text))
