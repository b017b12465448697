"""One plain loop for every Trainer: steps, averaging, log, previews, checkpoints, resume."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from gentool import plugins, weights
from gentool.errors import OutputError, TrainingError
from gentool.files import write_atomic
from gentool.training import checkpoint

if TYPE_CHECKING:
    from gentool.protocols import Model, Trainer


@dataclass(frozen=True)
class Plan:
    """How long, and how often what.

    Attributes:
        steps: in all, over every resume.
        seed: of everything random.
        checkpoint_every, preview_every, log_every: steps between them; 0 for never.
        average: decay of the moving average of the weights that is saved.
    """

    steps: int
    seed: int = 0
    checkpoint_every: int = 500
    preview_every: int = 1000
    log_every: int = 50
    average: float = 0.999


class Average:
    """Exponential moving average of a model's networks."""

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        self.live = {
            f"{prefix}.{name}": tensor
            for prefix, net in model.networks.items()
            for name, tensor in net.state_dict().items()
        }
        self.mean = {name: tensor.clone() for name, tensor in self.live.items()}

    def update(self, step: int) -> None:
        """Take the networks' state after ``step`` steps in; early steps weigh more."""
        decay = min(self.decay, step / (step + 9))
        for name, tensor in self.live.items():
            if tensor.is_floating_point():
                self.mean[name].lerp_(tensor, 1 - decay)
            else:
                self.mean[name].copy_(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The networks hold the average inside the body."""
        kept = {name: tensor.clone() for name, tensor in self.live.items()}
        try:
            for name, tensor in self.live.items():
                tensor.copy_(self.mean[name])
            yield
        finally:
            for name, tensor in self.live.items():
                tensor.copy_(kept[name])


def fit(
    trainer: Trainer,
    run: Path,
    plan: Plan,
    method: str,
    hyper: Mapping[str, Any],
    resume: bool = False,
    report: Callable[[str], None] = print,
) -> bool:
    """Train until ``plan.steps`` or Ctrl-C.

    Writes into ``run``: ``weights.safetensors`` (averaged, ready for ``gentool run --weights``),
    ``checkpoint.safetensors``, ``metrics.jsonl`` and ``previews/``.

    Args:
        trainer: the method's.
        run: folder of this training; made if needed.
        plan: how long, and how often what.
        method: name of the method.
        hyper: hyper-parameters, compared on resume and kept with the weights.
        resume: go on from the checkpoint in ``run``.
        report: told what happens, one line each.

    Returns:
        Whether all steps are done; False after Ctrl-C.

    Raises:
        TrainingError: a loss is not finite, or the run cannot be started or resumed.
        OutputError: a file cannot be written; the last checkpoint is intact.
    """
    average = Average(trainer.model, plan.average)
    done = _begin(trainer, average, run, hyper, resume)
    if resume:
        report(f"resuming after step {done}")

    def save() -> None:
        state = {f"t.{n}": t for n, t in trainer.state().items()}
        checkpoint.save(run, done, hyper, state | {f"a.{n}": t for n, t in average.mean.items()})
        with torch.no_grad(), average.applied():
            recipe = json.dumps({"steps": done, **hyper}, sort_keys=True)
            weights.save(run / "weights.safetensors", trainer.model, method, recipe=recipe)

    log = _Log(run / "metrics.jsonl", plan, method, report)
    batches = iter(trainer.batches(plan.seed, done))
    with _interruptible() as interrupted, _written(run):
        while done < plan.steps and not interrupted.is_set():
            batch = next(batches)
            torch.manual_seed(plan.seed * 1_000_003 + done)  # a resumed step draws the same
            scalars = trainer.step(batch, done / plan.steps)
            done += 1
            _check_finite(scalars, done, run)
            with torch.no_grad():
                average.update(done)
            log.add(done, scalars)
            if plan.preview_every and done % plan.preview_every == 0:
                with torch.no_grad(), average.applied():
                    _preview(trainer, run / "previews", done)
            if plan.checkpoint_every and done % plan.checkpoint_every == 0:
                save()
    save()
    if done < plan.steps:
        report(f"stopped after step {done} of {plan.steps}; go on with --resume")
    return done >= plan.steps


def _begin(
    trainer: Trainer, average: Average, run: Path, hyper: Mapping[str, Any], resume: bool
) -> int:
    """Make the run's folder or take up its checkpoint; returns the steps that are done."""
    if resume:
        done, state = checkpoint.load(run, hyper)
        trainer.load_state({n.removeprefix("t."): t for n, t in state.items() if n[:2] == "t."})
        for name, mean in average.mean.items():
            mean.copy_(state[f"a.{name}"])
        _cut_log(run / "metrics.jsonl", done)
        return done
    if (run / checkpoint.FILE).exists():
        raise TrainingError(f"{run}: holds a training already; add --resume, or choose another -o")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"-o {run}: cannot make the folder: {e.strerror}") from e
    return 0


def _check_finite(scalars: Mapping[str, float], step: int, run: Path) -> None:
    for name, value in scalars.items():
        if not math.isfinite(value):
            raise TrainingError(
                f"step {step}: {name} is {value}; start a new run with a lower learning rate"
                + (f", from --weights {run}" if (run / "weights.safetensors").exists() else "")
            )


class _Log:
    """Averages scalars and writes them to metrics.jsonl, the report and the observers."""

    def __init__(self, path: Path, plan: Plan, method: str, report: Callable[[str], None]) -> None:
        self.path, self.plan, self.method, self.report = path, plan, method, report
        self.sums: dict[str, float] = {}
        self.count = 0
        self.since = time.perf_counter()

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        if self.plan.log_every and step % self.plan.log_every == 0:
            self.write(step)

    def write(self, step: int) -> None:
        now = time.perf_counter()
        seconds = (now - self.since) / self.count
        means = {name: total / self.count for name, total in self.sums.items()}
        self.sums, self.count, self.since = {}, 0, now
        with self.path.open("a", encoding="utf-8") as f:
            f.write(json.dumps({"step": step, "seconds": round(seconds, 4), **means}) + "\n")
        left = seconds * (self.plan.steps - step)
        terms = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        self.report(f"step {step}/{self.plan.steps}  {terms}  {seconds:.2f} s/step  {_clock(left)}")
        plugins.notify(
            "gentool_training_step", self.report, method=self.method, step=step, scalars=means
        )


def _cut_log(path: Path, done: int) -> None:
    """Drop the lines of steps after the checkpoint: they are about to be done again."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) <= done]
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):  # a line cut short by a kill
        return math.inf


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left"


def _preview(trainer: Trainer, folder: Path, step: int) -> None:
    folder.mkdir(exist_ok=True)
    for i, artifact in enumerate(trainer.preview()):
        name = f"{step:07}-{i}" if i else f"{step:07}"
        write_atomic(folder / f"{name}{artifact.suffix}", artifact.encode(artifact.suffix))


@contextmanager
def _written(run: Path) -> Iterator[None]:
    """Make one line of a log or preview that cannot be written."""
    try:
        yield
    except OSError as e:
        raise OutputError(
            f"{e.filename or run}: cannot write: {e.strerror or e}; go on with --resume"
        ) from e


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that the step is finished; a second one stops at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def first(*_: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
