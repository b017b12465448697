"""Extensions: the losses, metrics and commands they offer, and those that observe."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from gentool import distributions
from gentool.cards import Record, not_texts, to_stderr
from gentool.distributions import EXTENSIONS
from gentool.errors import PluginError
from gentool.loading import FOREIGN, Plugin, broken, call, load, returned, told
from gentool.progress import silent

KINDS = ("losses", "metrics", "commands")


@functools.cache
def _extensions() -> tuple[tuple[Plugin, object | None], ...]:
    return tuple(load(entry) for entry in distributions.entry_points(EXTENSIONS))


def _modules() -> Iterable[tuple[Plugin, object]]:
    """Every extension that works; a module that two entry points name counts once."""
    found: dict[int, tuple[Plugin, object]] = {}
    for plugin, module in _extensions():
        if module is not None:
            found.setdefault(id(module), (plugin, module))
    return found.values()


def installed() -> list[Plugin]:
    """Every installed extension, usable or not, sorted by name."""
    return [_offering(plugin, module) for plugin, module in _extensions()]


def _offering(plugin: Plugin, module: object | None) -> Plugin:
    """An extension with what it offers; one of whose hooks fails is broken."""
    if module is None:
        return plugin
    try:
        found = {kind: _records(module, f"gentool_{kind}") for kind in KINDS}
    except PluginError as e:
        return broken(plugin, str(e), e)
    return replace(plugin, offers={kind: rs for kind, rs in found.items() if rs})


def _records(module: object, hook: str) -> list[Record]:
    """What one extension offers through one hook.

    Raises:
        PluginError: the hook raised, or returns something else than records.
    """
    try:
        found = returned(module, hook)
    except FOREIGN as e:
        raise PluginError(f"{hook}() raised {told(e)}") from e
    for record in found:
        if not isinstance(record, Record):
            raise PluginError(f"{hook}() returns a {type(record).__name__} among its records")
        for name in not_texts(record):
            raise PluginError(f"{hook}() returns a record whose {name} is no text")
    return found


def records(hook: str, report: Callable[[str], None] = silent) -> dict[str, Record]:
    """What all extensions offer through one hook, by name.

    Names that two plugins offer are left out, as :func:`doubles` tells.

    Args:
        hook: ``gentool_losses``, ``gentool_metrics`` or ``gentool_commands``.
        report: told, in one line each, of plugins that failed.
    """
    found = _offers(hook, report)
    return {name: offers[0][0] for name, offers in sorted(found.items()) if len(offers) == 1}


def doubles(hook: str) -> dict[str, str]:
    """Names that two plugins offer through one hook, and an error text that names both."""
    return {
        name: f"'{name}' is provided by {' and '.join(d for _, d in offers)}; "
        "gentool uninstall all but one of them"
        for name, offers in _offers(hook, silent).items()
        if len(offers) > 1
    }


def _offers(hook: str, report: Callable[[str], None]) -> dict[str, list[tuple[Record, str]]]:
    """Every record by name, with the distributions that offer it."""
    found: dict[str, list[tuple[Record, str]]] = {}
    for plugin, module in _extensions():
        if module is None:
            report(plugin.explain())
    for plugin, module in _modules():
        try:
            mine = _records(module, hook)
        except PluginError as e:
            report(f"plugin '{plugin.name}' ({plugin.distribution}): {e}")
            continue
        for record in mine:
            found.setdefault(record.name, []).append((record, plugin.distribution))
    return found


def notify(hook: str, report: Callable[[str], None], **kwargs: Any) -> None:
    """Tell every observer; one that raises is reported and the others are still told."""
    for plugin, module in _modules():
        try:
            with to_stderr():
                call(module, hook, **kwargs)
        except FOREIGN as e:
            report(f"plugin '{plugin.name}' ({plugin.distribution}): {hook}() raised {e!r}")
