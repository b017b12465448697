"""What a training tells whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gentool.progress import Progress


@dataclass(frozen=True)
class Record:
    """Figures of the steps since the last record.

    Attributes:
        step: steps done.
        epoch: passes over the first data set done.
        seconds: for each step.
        per_second: pictures (samples) a second, over all processes.
        waiting: share of the time spent waiting for data, 0..1.
        memory: bytes; of the GPU where there is one, else of this process.
        rate: share of the highest learning rate.
        terms: named scalars of the losses, averaged.
    """

    step: int
    epoch: float
    seconds: float
    per_second: float
    waiting: float
    memory: int
    rate: float
    terms: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """For metrics.jsonl."""
        return asdict(self)


class Display(Progress):
    """Shows nothing; the command line shows lines or, on a terminal, a live table."""

    def begin(self, done: int, steps: int | None) -> None:
        """The training begins, ``done`` of ``steps`` steps are done; None if time decides."""

    def step(self, done: int, share: float, left: float) -> None:
        """A step is done: that share of the training, with that many seconds left."""

    def record(self, record: Record) -> None:
        """Figures were logged."""

    def end(self) -> None:
        """The training is over, however it ended."""
