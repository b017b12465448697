"""What a training's folder is told apart by, and its history. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
SESSIONS = "run.json"


def sessions(run: Path) -> list[dict[str, Any]]:
    """When a training was begun and resumed, with which settings; empty where nothing tells."""
    try:
        found: list[dict[str, Any]] = json.loads((run / SESSIONS).read_text("utf-8"))["sessions"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return found
