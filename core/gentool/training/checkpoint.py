"""Checkpoints: one safetensors file with everything a resumed training needs, and no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gentool.errors import TrainingError, WeightsError
from gentool.weights import read_header, read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

FILE = "checkpoint.safetensors"


def save(run: Path, step: int, hyper: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write the checkpoint of a run, replacing the last one only when it is whole.

    Raises:
        OutputError: it cannot be written; the last one is intact.
    """
    metadata = {"step": str(step), "hyper": json.dumps(dict(hyper), sort_keys=True)}
    write_tensors(run / FILE, {n: t.detach().contiguous() for n, t in state.items()}, metadata)


def load(run: Path, hyper: Mapping[str, Any]) -> tuple[int, dict[str, Tensor]]:
    """Step and state of a run's checkpoint.

    Args:
        run: the folder of the run.
        hyper: hyper-parameters of the training that is to go on; must be the same.

    Raises:
        TrainingError: there is no checkpoint, it is damaged, or was made with other
            hyper-parameters.
    """
    path = run / FILE
    if not path.exists():
        raise TrainingError(f"{run}: no checkpoint to resume from; leave out --resume")
    try:
        header = read_header(path)
        step = int(header.metadata["step"])
        before = json.loads(header.metadata["hyper"])
    except (WeightsError, KeyError, ValueError) as e:
        raise TrainingError(f"{path}: damaged, cannot resume: {e}") from e
    now = json.loads(json.dumps(dict(hyper)))
    changed = [n for n in {**before, **now} if before.get(n) != now.get(n)]
    if changed:
        name = changed[0]
        raise TrainingError(
            f"--resume: {name.replace('_', '-')} was {before.get(name)!r} and is now "
            f"{now.get(name)!r}; resume with the same flags, or start a new run from these "
            f"weights with --weights {run}"
        )
    return step, read_tensors(path)
