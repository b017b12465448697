"""Metrics that the installed plugins offer, by name; the core has none of its own."""

from __future__ import annotations

from typing import Any

from gentool import extensions, lookup

HOOK = "gentool_metrics"


def names() -> list[str]:
    """Names of the metrics that the installed plugins offer."""
    return list(extensions.records(HOOK))


def get(name: str) -> Any:
    """The class or function of that name; it takes prediction and target and gives named figures.

    Raises:
        UsageError: no installed plugin offers it.
        PluginError: its code cannot be imported, or two plugins offer it.
    """
    return lookup.find("metric", HOOK, name)
