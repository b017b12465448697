"""``gentool run NAME [ACTION] [flags]``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from gentool import cards, plugins
from gentool.cli.common import Methods, compute_flags, debug_flag, settings
from gentool.cli.flags import FlagCommand, given, option_flags, read_config
from gentool.cli.main import OK, PART_FAILED
from gentool.cli.talk import Talk
from gentool.options import Options, validate
from gentool.output import Output
from gentool.runner import Method


def _core_flags() -> list[click.Option]:
    return [
        click.Option(
            ["-o", "--output"],
            metavar="PATH",
            help="File, or folder ending in /  [default: a new name here]",
        ),
        click.Option(
            ["--weights"],
            metavar="NAME|FILE",
            help="A packaged set, a safetensors file, or a training run's folder",
        ),
        *compute_flags(),
        click.Option(
            ["--config"], metavar="FILE", help="Take flags from a TOML file; typed ones win"
        ),
        click.Option(["--allow-large"], is_flag=True, help="Read pictures above 179 megapixels."),
        click.Option(["--no-metadata"], is_flag=True, help="Keep provenance out of the files."),
        click.Option(["--json"], is_flag=True, help="Print what was made as JSON."),
        click.Option(["--quiet"], is_flag=True, help="Print paths and errors only."),
        debug_flag(),
    ]


class Run(Methods):
    def build(self, method: str, action: str | None) -> click.Command:
        card = plugins.card(method)
        chosen = card.action(action)
        model: type[Options] = cards.resolve(chosen.options)
        core = _core_flags()
        core_names = [p.name for p in core if p.name]

        def callback(**values: Any) -> int:
            typed = given(values)
            if path := typed.pop("config", None):
                known = [*model.model_fields, *(n for n in core_names if n != "config")]
                typed = read_config(path, known) | {
                    k: v for k, v in typed.items() if v is not False
                }
            core_values = {n: typed.pop(n) for n in core_names if n in typed}
            known_names = tuple(n for n in core_names if n != "config")
            options = validate(model, typed, prefix="--", known=known_names)
            return _run(Method(card, settings(core_values)), chosen.name, options, core_values)

        more = [a for a in card.actions if a.name != chosen.name]
        epilog = "Other actions: " + "; ".join(f"{a.name} ({a.summary})" for a in more)
        return FlagCommand(
            name=method if action is None else f"{method} {action}",
            callback=callback,
            help=f"{chosen.summary}\n\n{card.paper}",
            epilog=epilog if more else None,
            sections={f"Options of {chosen.name}": option_flags(model), "Options of any run": core},
        )


@click.group(name="run", cls=Run, subcommand_metavar="NAME [ACTION] [FLAGS]")
def command() -> None:
    """Run a method. `gentool run NAME --help` shows its flags."""


def _run(method: Method, action: str, options: Options, core: dict[str, Any]) -> int:
    start = time.perf_counter()
    talk = Talk(core.get("quiet", False) or core.get("json", False))
    inputs, several = _inputs(options)
    suffixes = method.card.action(action).suffixes
    output = Output(core.get("output"), inputs, f"-{method.card.name}", several, suffixes)
    context = method.context(talk)
    made: list[Path] = []
    for artifact in method.stream(action, options, context):
        metadata = None
        if not core.get("no_metadata"):
            metadata = method.provenance(action, options, context, artifact)
        made.append(output.save(artifact, metadata))
        if not core.get("json"):
            click.echo(made[-1])
    if core.get("json"):
        report = {
            "outputs": [str(path) for path in made],
            "failures": [{"input": n, "reason": r} for n, r in context.failures],
            "seed": context.seed,
            "device": str(context.compute.device),
            "precision": context.compute.precision,
            "seconds": round(time.perf_counter() - start, 3),
        }
        click.echo(json.dumps(report, indent=2))
    if context.failures:
        total = len(made) + len(context.failures)
        click.echo(f"gentool: {len(context.failures)} of {total} failed", err=True)
        return PART_FAILED
    return OK


def _inputs(options: Options) -> tuple[list[Path], bool]:
    """The files an action reads, and whether a picture field holds several."""
    paths: list[Path] = []
    several = False
    for name in type(options).model_fields:
        value = getattr(options, name)
        items = value if isinstance(value, list) else [value]
        found = [item for item in items if isinstance(item, Path)]
        paths += found
        several = several or len(found) > 1
    return paths, several
