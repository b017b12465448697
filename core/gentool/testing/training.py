"""Checks of a method's training."""

from __future__ import annotations

from collections.abc import Iterator

from gentool import cards, plugins
from gentool.compute import choose
from gentool.errors import GentoolError, PluginError, TrainingError, UsageError
from gentool.options import validate
from gentool.testing.subject import Finding, Skip, Subject

STEPS = 2  # the first may be a warm-up


def one_step_reaches_every_parameter(subject: Subject) -> Iterator[Finding]:
    """Every trainable parameter has a finite gradient after a step or two."""
    import torch

    card = subject.card
    if card.training is None:
        raise Skip("it cannot be trained")
    try:
        model = cards.resolve(card.training.options)
        options = validate(model, subject.training_values())
        torch.manual_seed(0)
        trainer = plugins.trainer(card)(options, choose("cpu", "fp32"))
    except PluginError as e:
        raise Skip(str(e)) from e
    except (UsageError, TrainingError, GentoolError) as e:
        raise Skip(f"needs data of its own: {e}; give Conformance.training") from e
    batches = iter(trainer.batches(0, 0))
    for _ in range(STEPS):
        trainer.step(next(batches), 0.5)
    remedy = "leave out what the loss does not depend on, or freeze it with requires_grad_(False)"
    for prefix, network in trainer.model.networks.items():
        for name, parameter in network.named_parameters():
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                yield Finding(f"{prefix}.{name} gets no gradient", remedy)
            elif not bool(parameter.grad.isfinite().all()):
                remedy_ = "bound what the loss divides by or takes the root of"
                yield Finding(f"the gradient of {prefix}.{name} is not finite", remedy_)
