"""The checks as tests: a class that a plugin's tests subclass. Needs no pytest of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from gentool.distributions import EXTENSIONS
from gentool.testing.run import Check, checks
from gentool.testing.subject import Subject, Untried, find


class Conformance:
    """Each check of the kit becomes a test of the subclass.

    Attributes:
        plugin: name of the plugin's entry point; of both, if a method and an extension share it.
        options: values to try an action with, by action and field:
            ``{"stylize": {"steps": 2}}``. Fields without a value take the first of their
            ``examples``, pictures that the kit makes, or their default.
        training: values to train with, by field, or a static method that is given a folder to
            put files into and returns them.
        calls: for losses and metrics that take something other than two pictures or whose class
            needs arguments: by name, a function that gives the object, a prediction that requires
            a gradient, and a target.

    Raises:
        UsageError: when subclassed, if no such plugin is installed.
    """

    plugin: ClassVar[str]
    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    training: ClassVar[Mapping[str, Any] | Callable[[Path], Mapping[str, Any]]] = {}
    calls: ClassVar[Mapping[str, Callable[[], tuple[Any, Any, Any]]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "plugin" in vars(cls):
            for entry in find(cls.plugin):
                subject = Subject(entry, cls.options, cls.training, cls.calls)
                kind = "extension_" if entry.group == EXTENSIONS else ""
                for check in checks(entry):
                    setattr(cls, f"test_{kind}{check.__name__}", _test(check, subject))


def _test(check: Check, subject: Subject) -> Callable[[Conformance], None]:
    def test(_self: Conformance) -> None:
        findings = [str(found) for found in check(subject) if not isinstance(found, Untried)]
        assert not findings, "\n".join(findings)

    test.__doc__ = check.__name__.replace("_", " ")
    return test
