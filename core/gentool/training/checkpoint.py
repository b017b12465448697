"""Checkpoints: one safetensors file each with everything a resumed training needs.

``RUN/checkpoints/0000500.safetensors`` is the state after 500 steps. The last few are kept, and
the one with the best score. Files appear whole or not at all, and nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gentool.errors import OutputError, TrainingError, WeightsError
from gentool.progress import silent
from gentool.weights import read_header, read_tensors, write_tensors

_PLAIN = torch.contiguous_format
FOLDER = "checkpoints"


@dataclass
class Position:
    """How far a training is.

    Attributes:
        steps: done so far.
        seconds: that these took, over every resume.
        best: the lowest score that validation gave, if the trainer validates.
        best_step: when.
        scaler: state of the gradient scaler under fp16.
        log: what each process logged since the last record.
        taken: of each data set, the batches used and how many of them made a pass.
        groups: what the optimizers changed in their parameter groups.
    """

    steps: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_step: int | None = None
    scaler: dict[str, Any] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    taken: list[list[int]] = field(default_factory=list)
    groups: list[list[dict[str, Any]]] = field(default_factory=list)


class _NoneSoundError(TrainingError):
    """Every checkpoint of a training is damaged."""


def save(
    run: Path, at: Position, hyper: Mapping[str, Any], state: Mapping[str, Tensor], keep: int
) -> None:
    """Write a checkpoint, then remove those that are no longer kept, where the system lets it.

    Raises:
        OutputError: it cannot be written; those before are intact.
    """
    folder = run / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as e:
        raise OutputError(f"{folder}: cannot write: {e.strerror or e}") from e
    # of a kill in the middle of a write
    for leftover in (*folder.glob(".[0-9]*-*"), *run.glob(".weights-*"), *run.glob(".best-*")):
        with contextlib.suppress(OSError):
            leftover.unlink()
    metadata = {"position": json.dumps(at.__dict__), "hyper": json.dumps(dict(hyper))}
    # copies: the format refuses tensors that share memory, as the weights of tied layers do
    tensors = {n: t.detach().cpu().clone(memory_format=_PLAIN) for n, t in state.items()}
    write_tensors(folder / f"{at.steps:07}.safetensors", tensors, metadata)
    # later ones are damaged, or it would have gone on from them
    sound = [path for path in _files(run) if int(path.stem) <= at.steps]
    kept = {*sound[:keep], *(path for path in sound if int(path.stem) == at.best_step)}
    for path in {*_files(run)} - kept:
        with contextlib.suppress(OSError):  # the next save tries again
            path.unlink()


def exists(run: Path) -> bool:
    """Whether a folder holds a training."""
    return bool(_files(run))


def load(
    run: Path,
    hyper: Mapping[str, Any],
    allow_changes: bool = False,
    note: Callable[[str], None] = silent,
) -> tuple[Position, dict[str, Tensor]]:
    """Position and state of the newest checkpoint that is whole.

    Args:
        run: the folder of the training.
        hyper: hyper-parameters of the training that is to go on.
        allow_changes: go on although they have changed.
        note: told of damaged checkpoints and of changes.

    Raises:
        TrainingError: there is no sound checkpoint, or hyper-parameters have changed.
    """
    at, before, state = _newest(run, note)
    _compare(run, before, json.loads(json.dumps(dict(hyper))), allow_changes, note)
    return at, state


def _newest(
    run: Path, note: Callable[[str], None]
) -> tuple[Position, dict[str, Any], dict[str, Tensor]]:
    """Position, hyper-parameters and state of the newest checkpoint that is whole."""
    trouble = ""
    for path in _files(run):
        try:
            metadata = read_header(path).metadata
            at = Position(**json.loads(metadata["position"]))
            return at, json.loads(metadata["hyper"]), read_tensors(path)
        except (WeightsError, KeyError, ValueError, TypeError) as e:
            if isinstance(e.__cause__, OSError):  # it may well be sound
                raise TrainingError(f"{e}; try again") from e
            trouble = f"{path.name} is damaged ({e})"
            note(f"{trouble}; trying the checkpoint before it")
    raise _NoneSoundError(f"{run}: no sound checkpoint: {trouble}")


def take_network(name: str, net: nn.Module, source: Path, note: Callable[[str], None]) -> None:
    """Let a network begin as another training left it, one that only trains: a discriminator, say.

    Args:
        name: of the network, the same in both trainings.
        net: filled in place.
        source: the other training's folder, or a file in it.
        note: told where it begins anew instead, as there is no such network, or one of another
            layout.
    """
    run = source if source.is_dir() else source.parent
    try:
        state = _state_beside(source, run, note)
    except _NoneSoundError as e:
        note(f"the {name} begins anew: {e}")
        return
    start = f"net.{name}."
    kept = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
    if not kept:
        note(f"the {name} begins anew: none was kept beside {source}")
    elif _shapes(kept) != _shapes(net.state_dict()):
        note(f"the {name} begins anew: that of {run} has other settings")
    else:
        net.load_state_dict(kept)


def _state_beside(source: Path, run: Path, note: Callable[[str], None]) -> dict[str, Tensor]:
    """Of the newest checkpoint; beside the best weights, of the one that they were saved with."""
    if not exists(run):
        return {}
    at, _, state = _newest(run, note)
    best = run / FOLDER / f"{at.best_step or 0:07}.safetensors"
    return read_tensors(best) if source.name == "best.safetensors" and best.exists() else state


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _compare(
    run: Path,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    allow_changes: bool,
    note: Callable[[str], None],
) -> None:
    # what older checkpoints do not tell: all were mirrored, and nobody looked at teachers
    before = {"mirror": True, "learns_from": now.get("learns_from"), **before}
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            change, remedy = _change(name, before.get(name), now.get(name))
            if not (allow_changes or _is_longer(name, before.get(name), now.get(name))):
                raise TrainingError(
                    f"--resume: {change}; {remedy}, add --allow-changes, or start a "
                    f"new training from these weights with --weights {run}"
                )
            note(f"going on although {change}")


def _is_longer(name: str, before: Any, now: Any) -> bool:
    """Whether a training is only to go on for longer, which needs no leave."""
    return name in ("steps", "epochs", "minutes") and None not in (before, now) and now > before


def _change(name: str, before: Any, now: Any) -> tuple[str, str]:
    """What has changed, in words, and how that is undone."""
    if name == "sets" and before and now:
        counts = [" and ".join(text.partition(" ")[0] for text in sets) for sets in (before, now)]
        return "the pictures of --data were {} and are now {}{}".format(
            *counts, " of other names" * (counts[0] == counts[1])
        ), "give the same ones"
    if name == "learns_from":
        return "the networks that it learns from are others now", "give the same ones"
    flag = name.replace("_", "-")
    return f"{flag} was {before} and is now {now}", "give the same flags"


def _files(run: Path) -> list[Path]:
    """Checkpoints, the newest first."""
    found = [p for p in (run / FOLDER).glob("*.safetensors") if p.stem.isdigit()]
    return sorted(found, key=lambda path: int(path.stem), reverse=True)
