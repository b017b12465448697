"""The files by which a training's folder is known: its log, its sessions, its previews.

Imports no torch.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
SESSIONS = "run.json"
PREVIEWS = "previews"


def sessions(run: Path) -> list[dict[str, Any]]:
    """When a training was begun and resumed, with which settings; empty where nothing tells."""
    try:
        found: list[dict[str, Any]] = json.loads((run / SESSIONS).read_text("utf-8"))["sessions"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return found


def preview_name(step: int, number: int, suffix: str) -> str:
    """``0000500.png``, and ``0000500-1.png`` for the second preview after so many steps."""
    return f"{step:07}{f'-{number}' if number else ''}{suffix}"


def previews(run: Path) -> dict[int, list[Path]]:
    """A training's previews by step, of whatever suffix, in their order; no other files."""
    found: dict[int, list[tuple[int, Path]]] = {}
    for path in (run / PREVIEWS).glob("*"):
        if name := re.fullmatch(r"(\d{7,})(?:-([1-9]\d*))?\.[^-]+", path.name):
            found.setdefault(int(name[1]), []).append((int(name[2] or 0), path))
    return {step: [path for _, path in sorted(found[step])] for step in sorted(found)}
