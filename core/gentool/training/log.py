"""metrics.jsonl: the scalars of a training, averaged, one JSON object a line.

What is not finite is null there.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gentool import extensions
from gentool.errors import OutputError, PluginError, TrainingError
from gentool.files import write_file
from gentool.training import checkpoint, runs
from gentool.training.display import Display, Record
from gentool.training.plan import Plan
from gentool.training.setup import Setup


class Log:
    """Sums scalars where they are computed, and reads them once for every record.

    The order of the terms is that of their names, the same in every process.

    Args:
        run: the folder of the training.
        method: told to observers.
        display: shows the records.
        setup: how it computes, and in how many processes.
        after: the steps that are done already; what was written of later ones counts no more.
    """

    def __init__(
        self, run: Path, method: str, display: Display, setup: Setup, after: int = 0
    ) -> None:
        self.run, self.method, self.display, self.setup = run, method, display, setup
        wanted = setup.plan.tensorboard and setup.group.first
        self._writer = _tensorboard(run, after) if wanted else None
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._steps, self._waited, self._since = 0, 0.0, time.perf_counter()

    def add(self, scalars: Mapping[str, Tensor | float], waited: float) -> None:
        """Take in a step's scalars and the seconds it waited for data."""
        for name, value in scalars.items():
            tensor = torch.as_tensor(value).float()
            self._sums[name] = self._sums[name] + tensor if name in self._sums else tensor
            self._counts[name] = self._counts.get(name, 0) + 1
        self._steps += 1
        self._waited += waited

    def check(self, step: int) -> None:
        """Look whether the training still learns; other terms are free to be infinite, as PSNR is.

        Raises:
            TrainingError: a loss or a gradient since the last record was inf or nan.
        """
        for name, total in self._sums.items():
            if name.endswith(("loss", "gradient")) and not math.isfinite(total.item()):
                remedy = f"start anew with a lower learning rate (or {self._clip()})"
                if checkpoint.exists(self.run):
                    remedy = (
                        "the checkpoints before are intact: go on with --resume --allow-changes "
                        f"{self._clip()} (or a lower learning rate), or start anew with a lower "
                        f"learning rate, from --weights {self.run} if you like"
                    )
                raise TrainingError(f"step {step}: {name} is {total.item()}; {remedy}")

    def _clip(self) -> str:
        """The flag that keeps gradients shorter than they were."""
        return f"--clip {(self.setup.plan.clip or 10) / 10:g}"

    def write(self, step: int, epoch: float, rate: float, samples: int) -> None:
        """Write a record of the steps since the last one, each of that many samples."""
        now = time.perf_counter()
        passed = (now - self._since) or 1e-9
        names = sorted(self._sums)
        means = [self._sums[name].item() / self._counts[name] for name in names]
        record = Record(
            step=step,
            epoch=round(epoch, 4),
            seconds=round(passed / self._steps, 6),
            per_second=round(samples * self._steps / passed, 2),
            waiting=round(self._waited / passed, 4),
            memory=_memory(self.setup.device),
            rate=rate,
            terms=dict(zip(names, self.setup.group.mean(means), strict=True)),
        )
        self._sums, self._counts, self._steps = {}, {}, 0
        self._waited, self._since = 0.0, now
        if not self.setup.group.first:
            return
        self._append(record.as_json())
        if self._writer:
            for name, value in record.terms.items():
                self._writer.add_scalar(name, value, step)
        self.display.record(record)
        extensions.notify(
            "gentool_training_step",
            self.display.note,
            method=self.method,
            step=step,
            scalars=record.terms,
        )

    def validation(self, step: int, figures: Mapping[str, float]) -> None:
        """Write what validation gave."""
        self._append({"step": step, "validation": dict(figures)})
        if self._writer:
            for name, value in figures.items():
                self._writer.add_scalar(f"validation/{name}", value, step)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self.display.note(f"validation after step {step}: {shown}")

    def state(self) -> dict[str, Any]:
        """What was taken in since the last record, as JSON."""
        sums = {name: total.item() for name, total in self._sums.items()}
        return {
            "sums": sums,
            "counts": dict(self._counts),
            "steps": self._steps,
            "elapsed": time.perf_counter() - self._since,
            "waited": self._waited,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state` gave, so that the next record averages the same steps."""
        device = self.setup.device
        sums = state.get("sums", {})
        self._sums = {n: torch.tensor(total, device=device) for n, total in sums.items()}
        self._counts, self._steps = dict(state.get("counts", {})), state.get("steps", 0)
        self._waited = state.get("waited", 0.0)
        self._since = time.perf_counter() - state.get("elapsed", 0.0)

    @property
    def pending(self) -> bool:
        """Whether there are steps that no record tells of."""
        return self._steps > 0

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Leave what the body does, which is no training, out of the rates."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._since += time.perf_counter() - begun

    def close(self) -> None:
        if self._writer:
            self._writer.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        path = self.run / runs.METRICS
        # JSON has neither nan nor infinity, which a score may be
        plain = json.loads(json.dumps(line), parse_constant=lambda _: None)
        try:
            with path.open("a", encoding="utf-8") as f:
                f.write(json.dumps(plain) + "\n")
        except OSError as e:
            raise OutputError(
                f"{path}: cannot write: {e.strerror or e}; go on with --resume"
            ) from e


def cut(run: Path, steps: int) -> None:
    """Drop the lines and previews of steps after that many: they are about to be done again."""
    for step, previews in runs.previews(run).items():
        for preview in previews if step > steps else ():
            with contextlib.suppress(OSError):
                preview.unlink()
    path = run / runs.METRICS
    if path.exists():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [line for line in lines if _step_of(line) <= steps]
        if len(kept) < len(lines):
            write_file(path, "".join(line + "\n" for line in kept).encode())


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):  # a line cut short by a kill
        return math.inf


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import psutil

    return int(psutil.Process().memory_info().rss)


def check_tensorboard(plan: Plan) -> None:
    """Make sure that TensorBoard is there, if it is asked for.

    Raises:
        PluginError: it is not installed.
    """
    if plan.tensorboard:
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ModuleNotFoundError as e:
            raise PluginError(
                f"--tensorboard: {e.name} is not installed; pip install 'gentool-core[tensorboard]'"
            ) from e


def _tensorboard(run: Path, after: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter
    return writer(str(run / "tensorboard"), purge_step=after + 1)
