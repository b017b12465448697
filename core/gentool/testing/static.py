"""Checks of what a plugin says of itself; none of them needs torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gentool import cards, distributions, literal, plugins
from gentool.errors import GentoolError, PluginError
from gentool.testing.subject import Finding, Skip, Subject
from gentool.testing.training import plan_faults

LITERALLY = "write Card(...) and Record(...) with texts, numbers and tuples only"


def card_is_valid_and_complete(subject: Subject) -> Iterator[Finding]:
    plugin = subject.plugin
    if not plugin.usable:
        yield Finding(f"it is {plugin.status}: {plugin.cause}", plugin.fix)
        return
    source = Path(str(subject.module.__file__))
    try:
        text = source.read_text(encoding="utf-8")
        read = [dataclasses.asdict(card) for card in literal.cards(text, source.name)]
        literal.records(text, source.name)
    except (OSError, PluginError) as e:
        yield Finding(str(e), LITERALLY)
        return
    if subject.is_method:
        if dataclasses.asdict(subject.card) not in read:
            problem = f"the card spelled out in {source.name} is not what gentool_cards() gives"
            yield Finding(problem, LITERALLY)
        yield from _gaps(subject.card)


def _gaps(card: cards.Card) -> Iterator[Finding]:
    """Texts of a card that are empty."""
    said: list[tuple[str, str, object]] = [
        ("the card", "Card", card),
        *((f"action {action.name}", "Action", action) for action in card.actions),
        *((f"weights {entry.name}", "WeightsFile", entry) for entry in card.weights),
    ]
    for where, kind, part in said:
        for name in ("task", "summary", "paper", "licence", "trained_on", "origin"):
            if not str(getattr(part, name, "-")).strip():
                yield Finding(f"{where} has no {name}", f"give {kind}({name}=...)")


def requirement_on_core_can_be_met(subject: Subject) -> Iterator[Finding]:
    requires = distributions.metadata(subject.entry)[2]
    wanted = distributions.core_requirements(requires)
    remedy = 'write "gentool-core>=X,<Y" among the dependencies in pyproject.toml'
    if not wanted:
        yield Finding(f"it does not require {distributions.CORE}", remedy)
    for line in wanted:
        if ">=" not in line or "<" not in line.replace("<=", ""):
            yield Finding(f"'{line}' has no lower or no upper bound", remedy)
    if missed := distributions.mismatch(subject.entry):
        yield Finding(f"'{missed}' leaves out the gentool-core that is installed", remedy)


def no_hook_is_a_wrapper(subject: Subject) -> Iterator[Finding]:
    for name, value in vars(subject.module).items():
        marked = getattr(value, "gentool_impl", None) or {}
        for kind in ("wrapper", "hookwrapper"):
            if marked.get(kind):
                yield Finding(
                    f"{name} is a hook {kind}",
                    f"write @hookimpl without {kind}=True: hooks are "
                    "called plugin by plugin, so there is nothing to wrap",
                )


def every_reference_resolves(subject: Subject) -> Iterator[Finding]:
    plugin = subject.plugin
    if not plugin.usable:
        raise Skip(f"it is {plugin.status}")
    checked = plugins.check(plugin)
    if checked.usable and _lacks_another(checked.error, subject.entry.module.partition(".")[0]):
        raise Skip(checked.cause)  # an extra, which not everyone installs
    if checked.cause and checked.cause != plugin.cause:
        yield Finding(checked.cause, "correct the reference, or add what it needs as a dependency")


def _lacks_another(error: BaseException | None, package: str) -> bool:
    """Whether an import failed for want of a package that is not the plugin's own."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            return (error.name or "").partition(".")[0] != package
        error = error.__cause__
    return False


def options_are_documented_and_their_defaults_valid(subject: Subject) -> Iterator[Finding]:
    if fault := plan_faults(subject.card):
        yield Finding(f"of the card's training, {fault}", "correct Training(defaults=...)")
    for where, model in _models(subject):
        for name, info in model.model_fields.items():
            if not (info.description or "").strip():
                problem = f"{model.__name__}.{name} has no description"
                yield Finding(problem, f'write {name}: ... = Field(..., description="...")')
        yield from _defaults(model)
        try:
            json.dumps(model.model_json_schema())
        except Exception as e:  # pydantic raises many kinds
            yield Finding(
                f"{model.__name__} has no JSON Schema: {e}", "use types that JSON can hold"
            )
        try:
            _command(subject, where)
        except GentoolError as e:
            yield Finding(str(e), "rename the field")


def _models(subject: Subject) -> list[tuple[str, Any]]:
    card = subject.card
    try:
        found = [(a.name, cards.resolve(a.options)) for a in card.actions]
        if card.training:
            found.append(("train", cards.resolve(card.training.options)))
    except PluginError as e:
        raise Skip(str(e)) from e
    return found


def _command(subject: Subject, action: str) -> object:
    """Build the command of an action; raises where a flag is gentool's own."""
    from gentool.cli import run, train

    group, word = (train.command, None) if action == "train" else (run.command, action)
    return group.build(subject.card.name, word)


def _defaults(model: Any) -> Iterator[Finding]:
    import pydantic

    strict: Any = type(model.__name__, (model,), {"model_config": {"validate_default": True}})
    try:
        strict.model_validate({})
    except pydantic.ValidationError as e:
        for error in e.errors():
            if error["type"] != "missing" and error["loc"]:
                yield Finding(
                    f"the default of {model.__name__}.{error['loc'][0]} is not valid: "
                    f"{error['msg']}",
                    "choose a default that the field takes",
                )
