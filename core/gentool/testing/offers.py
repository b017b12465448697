"""Checks of what an extension offers: losses, metrics, commands."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from gentool import cards
from gentool.cards import NAME, Record
from gentool.testing.command import captured
from gentool.testing.subject import Finding, Skip, Subject, Untried


def records_are_complete(subject: Subject) -> Iterator[Finding]:
    found = [
        record for kind in ("losses", "metrics", "commands") for record in _offers(subject, kind)
    ]
    if not found:
        raise Skip("it offers no loss, metric or command")
    for record in found:
        if not NAME.match(record.name):
            remedy = "use lower-case letters, digits and hyphens"
            yield Finding(f"a record is named '{record.name}'", remedy)
        if not record.summary.strip():
            yield Finding(f"'{record.name}' has no summary", "give Record(..., summary=...)")


def losses_give_named_terms_with_a_gradient(subject: Subject) -> Iterator[Finding]:
    import torch

    untried: list[Untried] = []
    for record, terms, prediction in _called(subject, "loss", "losses", untried):
        remedy = "return named float32 tensors without dimensions: {'name': tensor}"
        if not isinstance(terms, Mapping) or not terms:
            yield Finding(f"loss '{record.name}' gives a {type(terms).__name__}", remedy)
            continue
        for name, term in terms.items():
            scalar = isinstance(term, torch.Tensor) and term.dim() == 0
            if not scalar or term.dtype != torch.float32:
                yield Finding(f"term '{name}' of loss '{record.name}' is no float32 scalar", remedy)
            elif not bool(term.isfinite()):
                yield Finding(f"term '{name}' of loss '{record.name}' is {term.item()}", remedy)
            elif not _differentiable(term, prediction):
                remedy = "compute it from the prediction, without no_grad() and item()"
                problem = f"term '{name}' of loss '{record.name}' has no finite gradient"
                yield Finding(problem, remedy)
    yield from untried


def metrics_give_named_figures(subject: Subject) -> Iterator[Finding]:
    untried: list[Untried] = []
    for record, figures, _ in _called(subject, "metric", "metrics", untried):
        remedy = "return named numbers: {'psnr': 31.4}"
        if not isinstance(figures, Mapping) or not figures:
            yield Finding(f"metric '{record.name}' gives a {type(figures).__name__}", remedy)
            continue
        for name, value in figures.items():
            if not isinstance(value, int | float) or math.isnan(value):
                yield Finding(f"figure '{name}' of metric '{record.name}' is {value!r}", remedy)
    yield from untried


def commands_show_their_help(subject: Subject) -> Iterator[Finding]:
    for record in _offers(subject, "commands") or _none("command"):
        code, out, err = captured([record.name, "--help"])
        if code or "Usage:" not in out:
            problem = f"gentool {record.name} --help exits {code}: {err.strip()[-200:]}"
            yield Finding(problem, f"{record.reference} must be a click.Command")


def _none(what: str) -> list[Record]:
    raise Skip(f"it offers no {what}")


def _offers(subject: Subject, kind: str) -> list[Record]:
    plugin = subject.plugin
    if not plugin.usable:
        raise Skip(f"it is {plugin.status}")
    return plugin.offers.get(kind, [])


def _called(
    subject: Subject, what: str, kind: str, untried: list[Untried]
) -> Iterator[tuple[Record, Any, Any]]:
    """Every loss or metric with what it gives, and its prediction; the others go to ``untried``.

    Raises:
        Skip: there is none that could be tried.
    """
    tried = False
    for record in _offers(subject, kind) or _none(what):
        called = _call(subject, record)
        if isinstance(called, Exception):
            untried.append(Untried(record.name, called, "give Conformance.calls"))
        else:
            tried = True
            yield record, *called
    if not tried:
        raise Skip("; ".join(map(str, untried)))


def _call(subject: Subject, record: Record) -> tuple[Any, Any] | Exception:
    """What a loss or metric gives, and its prediction; or what it raises of two pictures."""
    import torch

    if record.name in subject.calls:
        call, prediction, target = subject.calls[record.name]()
        return call(prediction, target), prediction
    generator = torch.Generator().manual_seed(0)
    prediction, target = (torch.rand(2, 3, 48, 40, generator=generator) for _ in range(2))
    prediction.requires_grad_()
    made = cards.resolve(record.reference)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two pictures may not be what it takes
            return made()(prediction, target), prediction
    except Exception as e:  # it takes something else: features, an argument
        return e


def _differentiable(term: Any, prediction: Any) -> bool:
    import torch

    leaves = prediction.values() if isinstance(prediction, Mapping) else [prediction]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    if not wanted or not term.requires_grad:
        return False
    gradients = torch.autograd.grad(term, wanted, retain_graph=True, allow_unused=True)
    return all(g is None or bool(g.isfinite().all()) for g in gradients) and any(
        g is not None for g in gradients
    )
