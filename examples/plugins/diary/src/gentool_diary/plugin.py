"""A diary of runs and trainings, in the file that ``GENTOOL_DIARY`` names.

Observers are loaded for every run, so this module imports the standard library and gentool only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gentool import hookimpl

if TYPE_CHECKING:
    from gentool import Action, Card
    from gentool.artifacts import Artifact

_begun = [0.0]  # when the last run began


def _write(what: str, **facts: Any) -> None:
    path = os.environ.get("GENTOOL_DIARY")
    if path:
        with open(path, "a", encoding="utf-8") as f:
            f.write(json.dumps({"what": what, **facts}) + "\n")


@hookimpl
def gentool_before_run(card: Card, action: Action, options: Mapping[str, Any]) -> None:
    _begun[0] = time.perf_counter()
    _write("run", method=card.name, action=action.name, options=dict(options))


@hookimpl
def gentool_after_run(card: Card, action: Action, artifact: Artifact) -> None:
    seconds = round(time.perf_counter() - _begun[0], 3)
    _write("made", method=card.name, action=action.name, name=artifact.name, seconds=seconds)


@hookimpl
def gentool_training_step(method: str, step: int, scalars: Mapping[str, float]) -> None:
    _write("step", method=method, step=step, **scalars)
