"""``gentool run NAME [ACTION] [flags]``."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gentool import cards, plugins
from gentool.cli.common import CoreFlags, Methods, flag_command, parse
from gentool.cli.flags import given
from gentool.cli.main import OK, PART_FAILED
from gentool.cli.talk import Talk, note
from gentool.context import Context
from gentool.errors import OutputError
from gentool.file_fields import passed_over
from gentool.files import expand
from gentool.options import Field, Options
from gentool.output import Output
from gentool.runner import Method
from gentool.weights import file_of

if TYPE_CHECKING:
    from gentool.artifacts import Artifact


class RunFlags(CoreFlags):
    """The core's flags of ``gentool run``."""

    output: str | None = Field(
        None,
        min_length=1,
        description="File, or folder ending in / (default: a new name in this folder)",
        json_schema_extra={"format": "path"},
    )
    format: str | None = Field(
        None,
        min_length=1,
        description="What results become that -o does not name: jpg, webp, tif, gif ... (default: "
        "png for pictures, webp for animations)",
    )
    allow_large: bool = Field(False, description="Read pictures above 179 megapixels")
    no_metadata: bool = Field(False, description="Keep provenance out of the files")
    as_json: bool = Field(False, alias="json", description="Print what was made as JSON")


class Run(Methods):
    def fits(self, card: cards.Card) -> bool:
        return bool(card.actions)

    def build(self, method: str, action: str | None) -> click.Command:
        card = plugins.card(method)
        chosen = card.action(action)
        model: type[Options] = cards.resolve(chosen.options)

        def callback(**values: Any) -> int:
            options, flags = parse(values, model, RunFlags)
            if not (flags.quiet or flags.as_json):
                for text in passed_over(model, given(values)):
                    note(text)
            return _run(Method(card, flags.settings()), chosen, options, flags)

        more = [a for a in card.actions if a.name != chosen.name]
        epilog = "Other actions: " + "; ".join(f"{a.name} ({a.summary})" for a in more)
        return flag_command(
            method if action is None else f"{method} {action}",
            f"Flags of {chosen.name}",
            model,
            RunFlags,
            callback=callback,
            help=f"{chosen.summary}\n\n{card.paper}",
            epilog=epilog if more else None,
        )


@click.group(name="run", cls=Run, subcommand_metavar="NAME [ACTION] [FLAGS]")
def command() -> None:
    """Run a method. `gentool run NAME --help` shows its flags."""


def _run(method: Method, action: cards.Action, options: Options, flags: RunFlags) -> int:
    label = f"-{method.card.name}"
    several = options.several_results()
    suffixes = options.result_suffixes() or action.suffixes
    output = Output(flags.output, _inputs(options, flags), label, several, suffixes, flags.format)
    talk = Talk(flags.quiet or flags.as_json)
    context = method.context(talk)
    made: list[Path] = []
    results = 0

    def written(saving: Future[Path], artifact: Artifact) -> None:
        nonlocal results
        try:
            made.append(saving.result())
        except OutputError as e:
            if not several:
                raise
            items = ", ".join(artifact.made_from.values()) or artifact.name
            context.failures.append((items, str(e)))
            talk.fail(str(e))
            return
        results += not artifact.part  # what accompanies one is none
        if not flags.as_json:
            talk.result(str(made[-1]))

    told = _as_json(made, context) if flags.as_json else contextlib.nullcontext()
    # one picture is written while the next are computed, and plugins may print meanwhile
    with told, cards.to_stderr(), ThreadPoolExecutor(1) as pool:
        saving: tuple[Future[Path], Artifact] | None = None
        try:
            for artifact in method.stream(action.name, options, context):
                provenance = method.provenance(action.name, options, context, artifact)
                if saving:
                    written(*saving)
                    saving = None
                if output.alone(artifact):
                    continue
                metadata = None if flags.no_metadata else provenance
                saving = pool.submit(output.save, artifact, metadata), artifact
        finally:  # Ctrl-C and errors too: what was made is written and named
            if saving:
                written(*saving)
    if context.failures:
        failed = len(context.failures)
        note(
            f"{failed} input{'s' * (failed > 1)} failed, "
            f"{results} result{'s' * (results != 1)} written"
        )
        return PART_FAILED
    return OK


@contextlib.contextmanager
def _as_json(made: list[Path], context: Context) -> Iterator[None]:
    """Print what the body made, also where it was cut short by an error or Ctrl-C."""
    start = time.perf_counter()
    ended = False
    try:
        yield
        ended = True
    finally:
        if ended or made:
            report = {
                "outputs": [str(path) for path in made],
                "failures": [{"input": n, "reason": r} for n, r in context.failures],
                "seed": context.seed,
                "device": str(context.compute.device),
                "precision": context.compute.used,
                "seconds": round(time.perf_counter() - start, 3),
            }
            click.echo(json.dumps(report, indent=2))


def _inputs(options: Options, flags: RunFlags) -> list[Path]:
    """The files a run reads."""
    paths = [file_of(expand(path)) for path in (flags.weights, flags.config) if path]
    for name in type(options).model_fields:
        value = getattr(options, name)
        items = value if isinstance(value, list) else [value]
        paths += [item for item in items if isinstance(item, Path)]
    return paths
