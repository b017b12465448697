"""Losses that plugins offer, by name. Only looks up hook records; core has no loss of its own."""

from __future__ import annotations

from typing import Any

from gentool import plugins
from gentool.cards import Record, resolve
from gentool.errors import UsageError, did_you_mean


def names() -> list[str]:
    """Names of the losses that the installed plugins offer."""
    return list(_records())


def get(name: str) -> Any:
    """The class or function of that name; calling it gives a :class:`gentool.Loss`.

    Raises:
        UsageError: no installed plugin offers it.
        PluginError: its code cannot be imported, or two plugins offer it.
    """
    return lookup("loss", name, _records())


def _records() -> dict[str, Record]:
    return plugins.records("gentool_losses")


def lookup(kind: str, name: str, records: dict[str, Record]) -> Any:
    """Import one record by name."""
    if name not in records:
        known = ", ".join(records) or "none is installed"
        raise UsageError(f"there is no {kind} '{name}'{did_you_mean(name, records)} ({known})")
    return resolve(records[name].reference)
