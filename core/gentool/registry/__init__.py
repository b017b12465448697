"""The catalogue of plugins that exist, installed or not: ``registry.toml``.

A copy ships with gentool, so that listing and searching work offline. Its rows for first-party
plugins are generated from their cards (``make docs``).
"""

from __future__ import annotations

from collections.abc import Iterable

from gentool.errors import did_you_mean
from gentool.progress import silent
from gentool.registry.rows import MAX_BYTES, SCHEMA, Published, Row, Weights, parse
from gentool.registry.sources import config_file, find, load, names

__all__ = [
    "MAX_BYTES",
    "SCHEMA",
    "Published",
    "Row",
    "Weights",
    "config_file",
    "explain_missing",
    "find",
    "load",
    "names",
    "parse",
    "search",
]


def search(rows: Iterable[Row], word: str) -> list[Row]:
    """The rows in whose name, distribution, methods or summary the word occurs."""
    wanted = word.lower()
    return [
        row
        for row in rows
        if wanted in " ".join((row.name, row.distribution, *row.methods, row.summary)).lower()
    ]


def explain_missing(method: str, installed: Iterable[str]) -> str:
    """Why there is no such method here: not installed, or not known at all. Fetches nothing."""
    rows = load(report=silent, offline=True)
    for row in rows:
        if method in row.methods:
            return f"method '{method}' is not installed; {row.how_to_get()}"
    known = {m for row in rows for m in row.methods} | set(installed)
    return f"there is no method '{method}'{did_you_mean(method, known)}; see gentool list --all"
