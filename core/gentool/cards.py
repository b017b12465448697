"""Cards: what a method is and where its code lies, without importing that code.

``gentool list`` reads cards only, so this module and every plugin's ``plugin.py`` use nothing
beyond the standard library and gentool. (The dataclasses here have no ``__eq__``: generating it
would cost every start a few milliseconds.) Code is named by strings, ``"package.module:object"``,
and imported by :func:`resolve` when it is needed.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gentool.errors import PluginError, UsageError, did_you_mean
from gentool.shared import Shared

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
ANIMATION_SUFFIXES = (".webp", ".gif", ".mp4")
# what gentool.Method, which offers actions as Python methods, and `gentool schema` use themselves
RESERVED = frozenset(
    (
        *("card", "settings", "run", "stream", "options", "context", "model", "weights"),
        *("compute", "provenance", "train"),
    )
)
NAME = re.compile(r"[a-z][a-z0-9-]*\Z")
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """One packaged set of weights.

    Attributes:
        name: what ``--weights`` takes; the first set of a card is the default.
        file: path inside the plugin's import package, ``weights/adain.safetensors``.
        bytes: exact size of the file.
        sha256: its hash, 64 hexadecimal digits; checked at every load.
        licence: terms of the weights themselves (SPDX name or a sentence).
        trained_on: the data, and under which terms it came.
        origin: who trained them with what, teachers and their attribution included.
        image_size: long side of the pictures trained on, pixels; None if it does not matter.
    """

    name: str
    file: str
    bytes: int
    sha256: str
    licence: str
    trained_on: str
    origin: str
    image_size: int | None = None


@dataclass(frozen=True, eq=False)
class Action:
    """One thing a method can do.

    Attributes:
        name: the word on the command line, ``stylize``.
        summary: one line for the help.
        options: reference to the options model, a subclass of :class:`gentool.Options`.
        function: reference to ``function(model, options, context)``, which yields artifacts.
        suffixes: what ``-o FILE`` may end in; checked before anything is computed. Where options
            decide, all that they allow, and :meth:`gentool.Options.result_suffixes` says which.
    """

    name: str
    summary: str
    options: str
    function: str
    suffixes: tuple[str, ...] = PICTURE_SUFFIXES


@dataclass(frozen=True, eq=False)
class Training:
    """How a method is trained.

    Attributes:
        options: reference to the options model of its training.
        trainer: reference to its :class:`gentool.Trainer`.
        defaults: of the engine's own flags, the recipe: ``{"steps": 20_000, "batch_size": 8}``.
    """

    options: str
    trainer: str
    defaults: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Card:
    """The description of a method.

    Attributes:
        name: the word on the command line; the same as the entry point's name.
        task: what it is for, in the field's words: ``style transfer``.
        summary: one line.
        paper: the source, ``Huang & Belongie 2017, arXiv:1703.06868``.
        actions: what it can do; the first is the default. A library that is only trained, and whose
            networks other plugins use, has none.
        model: reference to the class that owns the networks (:class:`gentool.Model`).
        weights: the packaged sets, the default first.
        training: how to train it, if it can be trained.
        licence: SPDX name of the code's licence.
        homepage: where to read more.

    Raises:
        PluginError: a name, reference, suffix or hash is malformed, a text is none, or a tuple
            holds something else than it should.
    """

    name: str
    task: str
    summary: str
    paper: str
    actions: tuple[Action, ...]
    model: str
    weights: tuple[WeightsFile, ...] = ()
    training: Training | None = None
    licence: str = "MIT"
    homepage: str = ""

    def __post_init__(self) -> None:
        def check(good: object, what: str) -> None:
            if not good:
                raise PluginError(f"card '{self.name}': {what}")

        check(
            isinstance(self.name, str) and NAME.match(self.name),
            "the name must be lower-case letters, digits and hyphens",
        )
        check(
            _tuple_of(Action, self.actions) and (self.actions or self.training),
            "actions must be a tuple of at least one Action, or empty if there is training",
        )
        check(_tuple_of(WeightsFile, self.weights), "weights must be a tuple of WeightsFile")
        check(
            self.training is None or isinstance(self.training, Training),
            "training must be a Training, or None",
        )
        parts = [self, *self.actions, *self.weights, *filter(None, [self.training])]
        for part in parts:
            for name in not_texts(part):
                check(False, f"the {name} of its {type(part).__name__} must be a text")
        names = [a.name for a in self.actions]
        check(len(set(names)) == len(names), "two actions share a name")
        sets = [w.name for w in self.weights]
        check(len(set(sets)) == len(sets), "two sets of weights share a name")
        references = [self.model]
        for action in self.actions:
            check(
                action.name.replace("-", "_") not in RESERVED,
                f"an action cannot be called '{action.name}'",
            )
            check(NAME.match(action.name), f"bad action name '{action.name}'")
            check(
                _tuple_of(str, action.suffixes)
                and action.suffixes
                and all(suffix.startswith(".") for suffix in action.suffixes),
                f"the suffixes of '{action.name}' must be a tuple of texts like '.png'",
            )
            references += [action.options, action.function]
        if self.training:
            references += [self.training.options, self.training.trainer]
        for reference in references:
            check(_REFERENCE.match(reference), f"'{reference}' is not 'package.module:object'")
        for weights in self.weights:
            check(re.fullmatch("[0-9a-f]{64}", weights.sha256), f"bad sha256 of '{weights.name}'")
            check(type(weights.bytes) is int and weights.bytes > 0, f"bad size of '{weights.name}'")

    @property
    def package(self) -> str:
        """The import package that holds the method's code and weights."""
        return self.model.partition(":")[0].partition(".")[0]

    def action(self, name: str | None = None) -> Action:
        """The action of that name, or the default one.

        Raises:
            UsageError: there is no such action.
        """
        if not self.actions:
            raise UsageError(f"{self.name} has no action, only training: gentool train {self.name}")
        if name is None:
            return self.actions[0]
        for action in self.actions:
            if action.name == name:
                return action
        known = [a.name for a in self.actions]
        raise UsageError(
            f"{self.name} has no action '{name}'{did_you_mean(name, known)}"
            f" (it has {', '.join(known)})"
        )


@dataclass(frozen=True, eq=False)
class Record:
    """A loss, metric or command that a plugin offers by name.

    Attributes:
        name: how it is asked for.
        summary: one line.
        reference: ``"package.module:object"``; a class or function for losses and metrics, a
            click command for commands.
    """

    name: str
    summary: str
    reference: str


def _tuple_of(kind: type, value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, kind) for item in value)


def not_texts(part: Any) -> list[str]:
    """Fields of a card's part, or of a record, that should be texts and are not."""
    named = [f.name for f in fields(part) if f.type == "str"]
    return [name for name in named if not isinstance(getattr(part, name), str)]


def resolve(reference: str) -> Any:
    """Import what a reference names.

    Raises:
        PluginError: the module cannot be imported or has no such object.
    """
    module, _, name = reference.partition(":")
    try:
        with to_stderr():
            # its own AttributeErrors are bugs inside it, not a missing name
            imported = importlib.import_module(module)
    except ImportError as e:
        raise PluginError(f"cannot import {reference}: {e}") from e
    try:
        return getattr(imported, name)
    except AttributeError as e:
        raise PluginError(f"{module} has no '{name}'") from e


to_stderr = Shared(lambda: contextlib.redirect_stdout(sys.stderr))
"""What a plugin prints is not the command's result."""
