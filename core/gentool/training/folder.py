"""A training's folder: no training that is there is written over, none writes beside another."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from gentool import weights
from gentool.errors import OutputError, TrainingError
from gentool.files import check_writable, numbered
from gentool.progress import silent
from gentool.training import checkpoint, runs

LOCK = ".lock"  # stays behind, empty
BEFORE = "metrics-before.jsonl"
PATIENCE = 10.0  # seconds; workers of a training that was killed outlive it for some


class Folder:
    """The folder that one training writes into; nothing is made before :meth:`take`.

    Args:
        path: of the folder.
        resume: whether a training that is there goes on.
        held: keeps other trainings out for as long as it is open.
        first: whether this process is the one that writes.

    Raises:
        TrainingError: there is no training to resume, one that would be written over, or one that
            still writes; or the folder is another program's.
        OutputError: nothing can be written there.
    """

    def __init__(
        self, path: Path, resume: bool, held: contextlib.ExitStack, first: bool = True
    ) -> None:
        self.path, self.resume, self.held = path, resume, held
        self._locked = False
        refuse(path, resume)
        if first:
            check_writable(path)
            if path.is_dir():
                self._lock()

    def take(self, note: Callable[[str], None] = silent) -> None:
        """Make it, and keep other trainings out of it.

        Args:
            note: told that a training which came to no checkpoint began there before.

        Raises:
            OutputError: it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock()
            metrics = self.path / runs.METRICS
            if not self.resume and metrics.exists():
                kept = next(p for p in numbered(self.path / BEFORE) if not p.exists())
                metrics.replace(kept)
                note(
                    f"the training that began in {self.path} before came to no checkpoint; "
                    f"its log is kept as {kept.name}"
                )
                for previews in runs.previews(self.path).values():
                    for preview in previews:
                        preview.unlink()
        except OSError as e:
            raise OutputError(f"-o {self.path}: cannot make the folder: {e.strerror}") from e

    def _lock(self) -> None:
        if not self._locked:
            self.held.enter_context(_alone(self.path))
            self._locked = True
            # again: one that was waited for may have left a checkpoint
            refuse(self.path, self.resume)


def refuse(path: Path, resume: bool) -> None:
    """Go on from no training that is not there, and write over none that is.

    Raises:
        TrainingError: there is none to resume, or one that would be written over, or files of
            another program would be.
        OutputError: the system refuses it: it cannot be looked into, or its name is too long.
    """
    try:
        _refuse(path, resume)
    except OSError as e:
        raise OutputError(f"-o {path}: {e.strerror or e}") from e


def _refuse(path: Path, resume: bool) -> None:
    if resume:
        if not checkpoint.exists(path):
            kept = (path / weights.FILE).exists()
            begin = f"begin from --weights {path} in another folder"
            remedy = begin if kept else "the same command without --resume begins"
            raise TrainingError(f"{path}: no checkpoint to resume from; {remedy}")
        return
    if checkpoint.exists(path):
        raise TrainingError(
            f"-o {path}: holds a training already; add --resume, or choose another folder"
        )
    for name in (weights.FILE, weights.BEST):
        if (path / name).exists():  # a training's whose checkpoints were cleared away, say
            raise TrainingError(
                f"-o {path}: holds {name}, but no checkpoint to go on from; choose another "
                f"folder, and --weights {path} to begin from them"
            )
    foreign = _foreign(path)
    if foreign:
        raise TrainingError(
            f"-o {path}: holds a {foreign} that no training of gentool wrote; choose another "
            "folder, or remove it"
        )


def _foreign(path: Path) -> str | None:
    """A file of another program that a training would write over.

    One of ours that came to no checkpoint is begun again by the same command, as a scheduler may.
    """
    if (path / runs.SESSIONS).exists():
        return None if runs.sessions(path) else runs.SESSIONS
    log = path / runs.METRICS
    return runs.METRICS if log.exists() and not _is_ours(log) else None


def _is_ours(log: Path) -> bool:
    """Whether a log is empty, or begins as a training's."""
    with contextlib.suppress(OSError, ValueError, TypeError), log.open(encoding="utf-8") as lines:
        first = lines.readline()
        line = json.loads(first) if first else {"step": 0, "terms": {}}
        return "step" in line and ("terms" in line or "validation" in line)
    return False


@contextlib.contextmanager
def _alone(run: Path) -> Iterator[None]:
    """Keep other trainings from writing into a folder, until the body or this process ends.

    Raises:
        TrainingError: another one writes there.
    """
    lock = FileLock(run / LOCK)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise TrainingError(
            f"-o {run}: another training is writing there; wait until it has ended, or choose "
            f"another folder (where a machine was lost with it, delete {run / LOCK})"
        ) from None
    except (NotImplementedError, OSError):
        pass  # some network file systems know no locks
    try:
        yield
    finally:
        lock.release()
