"""Losses that the installed plugins offer, by name; the core has none of its own."""

from __future__ import annotations

from typing import Any

from gentool import extensions, lookup

HOOK = "gentool_losses"


def names() -> list[str]:
    """Names of the losses that the installed plugins offer."""
    return list(extensions.records(HOOK))


def get(name: str) -> Any:
    """The class or function of that name; calling it gives a :class:`gentool.Loss`.

    Raises:
        UsageError: no installed plugin offers it.
        PluginError: its code cannot be imported, or two plugins offer it.
    """
    return lookup.find("loss", HOOK, name)
