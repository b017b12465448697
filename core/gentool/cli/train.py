"""``gentool train NAME [flags]``."""

from __future__ import annotations

from typing import Any

import click

from gentool import cards, plugins
from gentool.cli.common import CoreFlags, Methods, flag_command, parse
from gentool.cli.main import INTERRUPTED, OK, USER_ERROR, fail
from gentool.errors import GentoolError, PluginError, UsageError
from gentool.files import expand
from gentool.options import Field, Options, with_defaults
from gentool.training.plan import Plan


class TrainFlags(Plan, CoreFlags):
    """The core's flags of ``gentool train``."""

    output: str = Field(
        min_length=1,
        description="Folder of this training",
        json_schema_extra={"format": "path"},
    )
    seed: int | None = Field(0, ge=0, description="Seed of everything random")

    def plan(self) -> Plan:
        """The part of the flags that the engine takes.

        A way to end that was typed replaces the recipe's own.
        """
        values = {name: getattr(self, name) for name in Plan.model_fields}
        ends = {"steps", "epochs", "minutes"}
        if ends & self.model_fields_set:
            values |= dict.fromkeys(ends - self.model_fields_set)
        return Plan.model_construct(**values)


class Train(Methods):
    def fits(self, card: cards.Card) -> bool:
        return card.training is not None

    def build(self, method: str, action: str | None) -> click.Command:
        if action is not None:
            raise UsageError(f"unexpected '{action}' after '{method}'")
        card = plugins.card(method)
        if card.training is None:
            raise UsageError(f"{method} cannot be trained")
        model: type[Options] = cards.resolve(card.training.options)
        unknown = set(card.training.defaults) - set(Plan.model_fields)
        if unknown:
            raise PluginError(
                f"{method}'s card has a default for '{min(unknown)}', which is no flag of "
                "gentool train; its author should mend it"
            )
        flags = with_defaults(TrainFlags, card.training.defaults)

        def callback(**values: Any) -> int:
            return _train(card, *parse(values, model, flags))

        return flag_command(
            method,
            f"Flags of {method}",
            model,
            flags,
            callback=callback,
            help=f"Train {method}: {card.summary}",
        )


@click.group(name="train", cls=Train, subcommand_metavar="NAME [FLAGS]")
def command() -> None:
    """Train a method. `gentool train NAME --help` shows its flags."""


def _train(card: cards.Card, options: Options, flags: TrainFlags) -> int:
    from gentool import weights
    from gentool.cli import watch
    from gentool.training import distributed, train

    if flags.devices > 1 and not distributed.launched():
        return distributed.launch(flags.devices, click.get_current_context().find_root().obj)
    display = watch.display(flags.quiet or not distributed.is_first())
    try:
        finished = train(
            card.name,
            plugins.trainer(card),
            options,
            flags.plan(),
            flags.output,
            device=flags.device,
            precision=flags.precision,
            threads=flags.threads,
            seed=flags.seed or 0,
            start=weights.find(card, flags.weights) if flags.weights else None,
            display=display,
        )
    except GentoolError as e:
        if not distributed.launched():
            raise
        if distributed.is_first() or not distributed.agreed(e):
            fail(e, flags.debug)
        distributed.leave(USER_ERROR)
    if distributed.is_first():
        display.result(str(expand(flags.output) / weights.FILE))
    code = OK if finished else INTERRUPTED
    if distributed.launched():
        distributed.leave(code)
    return code
