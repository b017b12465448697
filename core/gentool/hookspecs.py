"""Every hook a plugin may implement.

A plugin marks its functions with :data:`gentool.hookimpl`. Hooks return typed records and are
called plugin by plugin: one that raises is reported and the others go on. Implementations may
take fewer arguments than the specification lists, in any order, by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from gentool.artifacts import Artifact
    from gentool.cards import Action, Card, Record

hookspec = pluggy.HookspecMarker("gentool")
hookimpl = pluggy.HookimplMarker("gentool")


# --- what a plugin brings -----------------------------------------------------------------


@hookspec
def gentool_cards() -> Iterable[Card]:  # type: ignore[empty-body]
    """The methods of this module, for entry points in the group ``gentool.methods``.

    Called when methods are listed, or when one of them is run. Must not import anything slow.
    """


@hookspec
def gentool_losses() -> Iterable[Record]:  # type: ignore[empty-body]
    """Losses offered by name to every trainer, looked up by :func:`gentool.losses.get`.

    For entry points in the group ``gentool.extensions``. A record's reference names a class or
    function that returns a :class:`gentool.Loss`: a callable of prediction and target, both a
    tensor or both feature maps by layer, that gives named scalar tensors.
    """


@hookspec
def gentool_metrics() -> Iterable[Record]:  # type: ignore[empty-body]
    """Metrics offered by name, looked up by :func:`gentool.metrics.get`.

    For entry points in the group ``gentool.extensions``. A record's reference names a class or
    function that returns a callable of prediction and target, pictures (N,3,H,W) in 0..1, that
    gives named figures.
    """


@hookspec
def gentool_commands() -> Iterable[Record]:  # type: ignore[empty-body]
    """Further commands of the ``gentool`` command line.

    For entry points in the group ``gentool.extensions``. A record's reference names a
    ``click.Command``; it is imported only when that command is typed. A built-in command of the
    same name wins. ``gentool list`` shows what an extension adds; ``gentool --help`` does not, so
    that it starts without looking for plugins.
    """


# --- what a plugin watches, in modules of the group ``gentool.extensions`` -------------------


@hookspec
def gentool_before_run(card: Card, action: Action, options: Mapping[str, Any]) -> None:
    """An action is about to run. Raising stops nothing: the error is reported and the run goes on.

    Reported on stderr by the command line, as a warning in Python.

    Args:
        card: the method.
        action: what it is about to do.
        options: the validated options as plain values.
    """


@hookspec
def gentool_after_run(
    card: Card, action: Action, options: Mapping[str, Any], artifact: Artifact
) -> None:
    """An action has yielded an artifact; called once for each, before it is saved.

    Args:
        card: the method.
        action: what it did.
        options: the validated options as plain values.
        artifact: the result; treat it as read-only.
    """


@hookspec
def gentool_training_step(method: str, step: int, scalars: Mapping[str, float]) -> None:
    """Figures of a training were logged: every ``--log-every`` steps, in the first process alone.

    Args:
        method: name of the method being trained.
        step: steps done so far, from 1.
        scalars: named figures of the steps since the last call, averaged.
    """
