"""Write what is derived from the code: the registry, the list of plugins, the command and hook
reference.

python tools/generate.py           write the files
python tools/generate.py --check   exit 1 if one of them is stale
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from gentool import extensions, hookspecs, plugins
from gentool.cards import Card
from gentool.cli.main import COMMANDS, gentool
from gentool.registry import SCHEMA, Weights, parse

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 88
EXAMPLE = """
from gentool import Record, hookimpl


@hookimpl
def gentool_losses():
    summary = "L1 distance of image gradients"
    return [Record("gradient", summary, reference="my_package.losses:Gradient")]


@hookimpl
def gentool_training_step(method, step, scalars):
    print(method, step, scalars)
"""
ENTRY_POINT = """
[project.entry-points."gentool.extensions"]
my-package = "my_package.plugin"
"""


def registry() -> str:
    """``registry.toml``: a row for each first-party plugin, from its metadata and cards.

    Rows of others, and what a release wrote under ``published``, are kept as they are.
    """
    lines = [
        "# The catalogue of gentool plugins, described in docs/registry.md. Rows of first-party",
        "# plugins are generated from their cards by `make docs`; others come by pull request.",
        f"schema = {SCHEMA}",
    ]
    kept = tomllib.loads((ROOT / "registry.toml").read_text(encoding="utf-8"))["plugin"]
    published = {row["name"]: row["published"] for row in kept if "published" in row}
    cards = {p.name: p.card for p in plugins.methods() if p.card and p.usable}
    for path in sorted((ROOT / "plugins").glob("*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        methods = sorted(project.get("entry-points", {}).get("gentool.methods", {}))
        lost = [name for name in methods if name not in cards]
        assert not lost, f"{', '.join(lost)}: broken or switched off; see gentool doctor"
        row = _row(path.parent, project, [cards[name] for name in methods])
        if path.parent.name in published:
            row["published"] = published[path.parent.name]
        lines += ["", *_toml(row)]
    ours = {path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml")}
    for row in kept:
        if row["name"] not in ours and row["tier"] != "core":
            lines += ["", *_toml(row)]
    return "\n".join(lines) + "\n"


def _row(folder: Path, project: dict[str, Any], cards: list[Card]) -> dict[str, Any]:
    core = next(d for d in project["dependencies"] if d.startswith("gentool-core"))
    row: dict[str, Any] = {
        "name": folder.name,
        "distribution": project["name"],
        "methods": [card.name for card in cards],
        "summary": cards[0].summary if len(cards) == 1 else project["description"],
        "tier": "core",
        "licence": project["license"],
        "gentool": core.removeprefix("gentool-core"),
        "source": f"plugins/{folder.name} in gentool's repository",
    }
    names = [field.name for field in fields(Weights)]
    if weights := [w for card in cards for w in card.weights]:
        row["weights"] = [{name: getattr(w, name) for name in names} for w in weights]
    return row


def _toml(row: dict[str, Any]) -> Iterator[str]:
    tables = {name: row[name] for name in ("published", "weights") if name in row}
    yield "[[plugin]]"
    yield from (f"{n} = {json.dumps(v)}" for n, v in row.items() if n not in tables)
    for name, table in tables.items():
        for values in table if isinstance(table, list) else [table]:
            yield from ("", f"[[plugin.{name}]]" if isinstance(table, list) else f"[plugin.{name}]")
            yield from (f"{n} = {json.dumps(v)}" for n, v in values.items())


def catalogue() -> str:
    """``docs/plugins.md``: the registry as a page."""
    rows = parse(registry().encode(), "registry.toml")
    lines = [
        "# Plugins",
        "",
        "Generated from `registry.toml` by `make docs`. `gentool search WORD` looks into the same",
        "list, offline; [registry.md](registry.md) says how to get into it.",
    ]
    for row in rows:
        methods = ", ".join(f"`{name}`" for name in row.methods) or "none of its own"
        where = f"[{row.homepage}]({row.homepage})" if row.homepage else row.source
        lines += [
            *("", f"## {row.name}", "", row.summary, ""),
            f"- distribution `{row.distribution}`, for gentool-core {row.gentool}, tier {row.tier}",
            f"- methods: {methods}",
            f"- licence of the code: {row.licence}",
            f"- get it: `{row.how_to_get()}`" if row.published else f"- code: {where}",
        ]
        for w in row.weights:
            facts = f"{w.bytes:,} bytes, SHA-256 `{w.sha256[:12]}…`; {w.licence}"
            lines.append(f"- weights `{w.name}`: {facts}; trained on {w.trained_on}; {w.origin}")
    return "\n".join(lines) + "\n"


def commands() -> str:
    """``docs/commands.md``: the help of every command and action, those of our plugins included."""
    parts = ["# Commands", "", "Generated from the code by `make docs`.", ""]
    root = _context(gentool, "gentool")
    parts += _section("gentool", gentool, root)
    for name in COMMANDS:
        command = gentool.get_command(root, name)
        assert command is not None
        context = _context(command, name, root)
        parts += _section(f"gentool {name}", command, context)
        if name in ("run", "train"):
            assert isinstance(command, click.Group)
            parts += _methods(name, command, context)
        elif isinstance(command, click.Group):
            for word in command.list_commands(context):
                parts += _nested(f"gentool {name} {word}", word, command, context)
    for name in _of_extensions():
        parts += _nested(f"gentool {name}", name, gentool, root)
    return "\n".join(parts)


def _context(
    command: click.Command, name: str, parent: click.Context | None = None
) -> click.Context:
    """What click makes when a command is typed, for pages of one width."""
    more = command.context_settings
    return click.Context(command, parent, info_name=name, terminal_width=WIDTH, **more)


def _methods(name: str, group: click.Group, context: click.Context) -> Iterator[str]:
    for plugin in plugins.methods():
        card = plugin.card
        if card is None or (name == "train" and card.training is None):
            continue
        for action in card.actions if name == "run" else (None,):
            typed = [card.name]
            if action and action is not card.actions[0]:
                typed.append(action.name)
            label, command, _ = group.resolve_command(context, typed)
            assert command is not None
            inner = _context(command, str(label), context)
            yield from _section(f"gentool {name} {label}", command, inner)


def _nested(title: str, word: str, group: click.Group, context: click.Context) -> list[str]:
    command = group.get_command(context, word)
    assert command is not None
    return _section(title, command, _context(command, word, context))


def _of_extensions() -> list[str]:
    """Names of the commands that first-party plugins bring."""
    ours = {path.name for path in (ROOT / "plugins").glob("*/src/*")}
    found = extensions.records("gentool_commands")
    return [name for name, record in found.items() if record.reference.split(".")[0] in ours]


def _section(title: str, command: click.Command, context: click.Context) -> list[str]:
    return [f"## {title}", "", "```text", command.get_help(context), "```", ""]


def hooks() -> str:
    """``docs/hooks.md``: every hook's signature and docstring."""
    parts = [
        "# Hooks",
        "",
        "Generated from `core/gentool/hookspecs.py` by `make docs`. An implementation is a",
        "function of a hook's name, marked, that takes only the arguments it needs:",
        "",
        *("```python", EXAMPLE.strip(), "```", ""),
        "The distribution names the module in its entry points:",
        "",
        *("```toml", ENTRY_POINT.strip(), "```", ""),
        "[examples/plugins](../examples/plugins/) are two whole ones.",
        "",
    ]
    for name, function in vars(hookspecs).items():
        if name.startswith("gentool_"):
            arguments = ", ".join(inspect.signature(function).parameters)
            parts += [f"## {name}({arguments})", "", _markdown(inspect.getdoc(function) or ""), ""]
    return "\n".join(parts)


def _markdown(docstring: str) -> str:
    """A docstring's roles and double backquotes as Markdown; its arguments as a list."""
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", docstring).replace("``", "`")
    return re.sub(r"^ {4}(\w+):", r"- `\1`:", text.replace("\nArgs:\n", "\n"), flags=re.MULTILINE)


FILES = {
    "registry.toml": registry,
    "docs/plugins.md": catalogue,
    "docs/commands.md": commands,
    "docs/hooks.md": hooks,
}


def stale() -> list[str]:
    """Names of the files that are not what the code says."""
    return [
        name
        for name, make in FILES.items()
        if not (ROOT / name).exists() or (ROOT / name).read_text(encoding="utf-8") != make()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        old = stale()
        sys.exit(f"stale: {', '.join(old)}; run make docs" if old else 0)
    for name, make in FILES.items():
        (ROOT / name).parent.mkdir(exist_ok=True)
        (ROOT / name).write_text(make(), encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
