"""``gentool train NAME [flags]``."""

from __future__ import annotations

from typing import Any

import click

from gentool import cards, plugins
from gentool.cli.common import CoreFlags, Methods, flag_command, parse
from gentool.cli.main import INTERRUPTED, OK
from gentool.cli.talk import Talk
from gentool.errors import UsageError
from gentool.files import expand
from gentool.options import Field, Options


class TrainFlags(CoreFlags):
    """The core's flags of ``gentool train``."""

    output: str = Field(
        min_length=1,
        description="Folder of this training",
        json_schema_extra={"format": "path"},
    )
    steps: int = Field(ge=1, description="Steps in all, over every resume")
    resume: bool = Field(False, description="Go on from the checkpoint in the folder")
    checkpoint_every: int = Field(500, ge=0, description="Steps between checkpoints, 0 for none")
    preview_every: int = Field(1000, ge=0, description="Steps between previews, 0 for none")
    log_every: int = Field(50, ge=1, description="Steps between lines of the log")
    seed: int | None = Field(0, ge=0, description="Seed of everything random")


class Train(Methods):
    def build(self, method: str, action: str | None) -> click.Command:
        if action is not None:
            raise UsageError(f"unexpected '{action}' after '{method}'")
        card = plugins.card(method)
        if card.training is None:
            raise UsageError(f"{method} cannot be trained")
        model: type[Options] = cards.resolve(card.training.options)

        def callback(**values: Any) -> int:
            options, flags = parse(values, model, TrainFlags)
            return _train(card, options, flags)

        return flag_command(
            method,
            f"Flags of {method}",
            model,
            TrainFlags,
            callback=callback,
            help=f"Train {method}: {card.summary}",
        )


@click.group(name="train", cls=Train, subcommand_metavar="NAME [FLAGS]")
def command() -> None:
    """Train a method. `gentool train NAME --help` shows its flags."""


def _train(card: cards.Card, options: Options, flags: TrainFlags) -> int:
    if flags.resume and flags.weights:
        raise UsageError("--resume goes on from the run's own networks; leave out --weights")
    import torch

    from gentool import weights
    from gentool.compute import choose
    from gentool.training import Plan, fit

    seed = flags.seed or 0
    plan = Plan(flags.steps, seed, flags.checkpoint_every, flags.preview_every, flags.log_every)
    compute = choose(flags.device, flags.precision, flags.threads)
    torch.manual_seed(seed)
    trainer = plugins.trainer(card)(options, compute)
    if flags.weights:
        start = weights.load(type(trainer.model), weights.find(card, flags.weights), card.name)
        for name, net in trainer.model.networks.items():
            net.load_state_dict(start.networks[name].state_dict())
    hyper = options.model_dump(mode="json") | {"seed": seed, "steps": flags.steps}
    run = expand(flags.output)
    talk = Talk(flags.quiet)
    finished = fit(trainer, run, plan, card.name, hyper, flags.resume, talk.note)
    click.echo(run / "weights.safetensors")
    return OK if finished else INTERRUPTED
