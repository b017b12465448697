"""Metrics that plugins offer, by name."""

from __future__ import annotations

from typing import Any

from gentool import plugins
from gentool.losses import lookup


def names() -> list[str]:
    """Names of the metrics that the installed plugins offer."""
    return list(plugins.records("gentool_metrics"))


def get(name: str) -> Any:
    """The class or function of that name.

    Raises:
        UsageError: no installed plugin offers it.
        PluginError: its code cannot be imported, or two plugins offer it.
    """
    return lookup("metric", name, plugins.records("gentool_metrics"))
