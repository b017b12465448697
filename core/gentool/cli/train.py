"""``gentool train NAME [flags]``."""

from __future__ import annotations

from typing import Any

import click

from gentool import cards, plugins
from gentool.cli.common import Methods, compute_flags, debug_flag, no_action, settings
from gentool.cli.flags import FlagCommand, given, option_flags, read_config
from gentool.cli.main import INTERRUPTED, OK
from gentool.cli.talk import Talk
from gentool.errors import UsageError
from gentool.files import expand
from gentool.options import Options, validate


def _core_flags() -> list[click.Option]:
    return [
        click.Option(["-o", "--output"], metavar="RUN", help="Folder of this training  [required]"),
        click.Option(["--steps"], type=click.IntRange(1), metavar="N", help="Steps in all"),
        click.Option(["--resume"], is_flag=True, help="Go on from the checkpoint in RUN."),
        click.Option(
            ["--weights"], metavar="NAME|FILE", help="Start from these weights instead of anew"
        ),
        *compute_flags(),
        click.Option(
            ["--checkpoint-every"], type=click.IntRange(0), metavar="N", help="[default 500 steps]"
        ),
        click.Option(
            ["--preview-every"], type=click.IntRange(0), metavar="N", help="[default 1000 steps]"
        ),
        click.Option(
            ["--log-every"], type=click.IntRange(1), metavar="N", help="[default 50 steps]"
        ),
        click.Option(
            ["--config"], metavar="FILE", help="Take flags from a TOML file; typed ones win"
        ),
        click.Option(["--quiet"], is_flag=True, help="Print errors only."),
        debug_flag(),
    ]


class Train(Methods):
    def build(self, method: str, action: str | None) -> click.Command:
        if action is not None:
            raise no_action(method, action)
        card = plugins.card(method)
        if card.training is None:
            raise UsageError(f"{method} cannot be trained")
        model: type[Options] = cards.resolve(card.training.options)
        core = _core_flags()
        names = tuple(p.name for p in core if p.name and p.name != "config")

        def callback(**values: Any) -> int:
            typed = given(values)
            if path := typed.pop("config", None):
                known = [*model.model_fields, *names]
                typed = read_config(path, known) | {
                    k: v for k, v in typed.items() if v is not False
                }
            core_values = {n: typed.pop(n) for n in names if n in typed}
            return _train(card, validate(model, typed, prefix="--", known=names), core_values)

        return FlagCommand(
            name=method,
            callback=callback,
            help=f"Train {method}: {card.summary}",
            sections={"What and how": option_flags(model), "Any training": core},
        )


@click.group(name="train", cls=Train, subcommand_metavar="NAME [FLAGS]")
def command() -> None:
    """Train a method. `gentool train NAME --help` shows its flags."""


def _train(card: cards.Card, options: Options, core: dict[str, Any]) -> int:
    if not core.get("output"):
        raise UsageError("-o: is required, the folder for this training")
    if not core.get("steps"):
        raise UsageError("--steps: is required")
    import torch

    from gentool import weights
    from gentool.compute import choose
    from gentool.training import Plan, fit

    chosen = settings(core)
    compute = choose(chosen.device, chosen.precision, chosen.threads)
    plan = Plan(
        core["steps"],
        chosen.seed or 0,
        **{n: core[n] for n in Plan.__dataclass_fields__ if n.endswith("_every") and n in core},
    )
    assert card.training is not None  # build() made sure
    torch.manual_seed(plan.seed)
    trainer = cards.resolve(card.training.trainer)(options, compute)
    if chosen.weights and not core.get("resume"):
        start = weights.load(type(trainer.model), weights.find(card, chosen.weights), card.name)
        for name, net in trainer.model.networks.items():
            net.load_state_dict(start.networks[name].state_dict())
    hyper = options.model_dump(mode="json") | {"seed": plan.seed, "steps": plan.steps}
    run = expand(core["output"])
    talk = Talk(core.get("quiet", False))
    finished = fit(trainer, run, plan, card.name, hyper, core.get("resume", False), talk.note)
    click.echo(run / "weights.safetensors")
    return OK if finished else INTERRUPTED
