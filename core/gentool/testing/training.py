"""Checks of a method's training: two steps of the real engine, on the CPU in fp32."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gentool import cards, plugins, weights
from gentool.errors import GentoolError, PluginError, UsageError
from gentool.options import validate
from gentool.testing.subject import Finding, Skip, Subject

if TYPE_CHECKING:
    from gentool.protocols import Trainer

SMALL = {
    "steps": 2,
    "epochs": None,
    "minutes": None,
    "batch_size": 4,
    "accumulate": 1,
    "devices": 1,
    "workers": 0,
    "preview_every": 2,
    "compile": False,
    "tensorboard": False,
}


def two_steps_reach_every_parameter(subject: Subject) -> Iterator[Finding]:
    """Every trainable parameter has a finite gradient, and what was trained can be loaded."""
    card = subject.card
    if card.training is None:
        raise Skip("it cannot be trained")
    trainer, parameters = _train(subject)
    freeze = "leave out what no loss depends on, or freeze it with requires_grad_(False)"
    for name, parameter in parameters.items():
        if parameter.grad is None:
            yield Finding(f"{name} gets no gradient", freeze)
        elif not bool(parameter.grad.isfinite().all()):
            remedy = "bound what the loss divides by or takes the root of"
            yield Finding(f"the gradient of {name} is not finite", remedy)
    try:
        trained = weights.file_of(subject.folder / "run")
        weights.load(type(trainer.model), trained, card.name)
    except GentoolError as e:
        remedy = "the trainer's model must be of the class that the card names"
        yield Finding(f"what was trained cannot be loaded: {e}", remedy)


def plan_faults(card: cards.Card) -> str:
    """What is wrong with the recipe that a card gives the engine; empty if nothing."""
    from gentool.training import Plan

    try:
        validate(Plan, card.training.defaults if card.training else {})
    except UsageError as e:
        return str(e)
    return ""


def _train(subject: Subject) -> tuple[Trainer, dict[str, Any]]:
    """The trainer after two steps, and the parameters that it began to train, by name."""
    from gentool.training import Plan, Setup, train

    training = subject.card.training
    assert training is not None
    made: list[Trainer] = []
    parameters: dict[str, Any] = {}

    def build(options: Any, setup: Setup) -> Trainer:
        trainer: Trainer = plugins.trainer(subject.card)(options, setup)
        nets = [*trainer.model.networks.items()]
        nets += [item for update in trainer.updates for item in update.networks.items()]
        for prefix, net in nets:
            for name, parameter in net.named_parameters():
                if parameter.requires_grad:  # the engine freezes some in the course of a step
                    parameters[f"{prefix}.{name}"] = parameter
        made.append(trainer)
        return trainer

    if plan_faults(subject.card):
        raise Skip("its defaults are not valid")
    run = subject.folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    try:
        options = validate(cards.resolve(training.options), subject.training_values())
        plan = Plan(**{**training.defaults, **SMALL, "data": [str(subject.pictures())]})
        train(subject.card.name, build, options, plan, run, device="cpu", precision="fp32")
    except PluginError as e:  # an extra is not installed
        raise Skip(str(e)) from e
    except GentoolError as e:
        if made:
            raise
        raise Skip(f"needs data of its own: {e}; give Conformance.training") from e
    return made[0], parameters
