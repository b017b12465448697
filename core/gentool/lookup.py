"""What plugins offer by name, looked up and imported."""

from __future__ import annotations

from typing import Any

from gentool import extensions
from gentool.cards import resolve
from gentool.errors import PluginError, UsageError, did_you_mean


def find(kind: str, hook: str, name: str) -> Any:
    """Import the ``kind`` of that name, offered through ``hook``.

    Raises:
        UsageError: no installed plugin offers it.
        PluginError: its code cannot be imported, or two plugins offer it.
    """
    failed: list[str] = []  # one of these may be what offers it
    records = extensions.records(hook, failed.append)
    if name in records:
        return resolve(records[name].reference)
    if text := extensions.doubles(hook).get(name):
        raise PluginError(text)
    known = ", ".join(records) or "none is installed"
    hint = did_you_mean(name, records)
    raise UsageError("; ".join([f"there is no {kind} '{name}'{hint} ({known})", *failed]))
