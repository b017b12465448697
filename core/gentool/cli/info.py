"""``gentool info NAME|PICTURE|WEIGHTS``."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from gentool import plugins
from gentool.cli.talk import printable
from gentool.errors import UsageError, WeightsError
from gentool.files import expand
from gentool.weights import file_of, read_header, sha256


@click.command(name="info")
@click.argument("what", metavar="NAME|PICTURE|WEIGHTS")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(what: str, as_json: bool) -> None:
    """Describe a method, a picture and how gentool made it, or a weights file."""
    facts = describe(what)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        _print(facts)


def describe(what: str) -> dict[str, Any]:
    """Facts about a method of that name or else a file of that path."""
    if what in plugins.method_names():
        card = plugins.card(what)
        distribution, version = plugins.provider(what)
        return {"distribution": distribution, "version": version} | dataclasses.asdict(card)
    path = file_of(expand(what))
    try:
        exists = path.exists()
    except OSError as e:  # a name that is too long
        raise UsageError(f"{what[:60]}...: {e.strerror}") from e
    if path.suffix == ".safetensors":
        header = read_header(path)
        try:
            config = header.config
        except WeightsError as e:
            raise WeightsError(f"{path}: {e}") from e
        return {
            "file": path.name,
            "bytes": header.bytes,
            "sha256": sha256(path),
            "parameters": header.parameters,
            "tensors": len(header.shapes),
            **{k: v for k, v in header.metadata.items() if k != "config"},
            "config": config,
        }
    if exists or path.suffix:
        from gentool import animation, encoding

        if exists and path.suffix.lower() == ".mp4":
            return animation.inspect(path)
        return encoding.inspect(path)
    plugins.card(what)  # raises, with the nearest name
    raise UsageError(f"'{what}' is neither a method nor a file")


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
