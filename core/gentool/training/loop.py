"""The loop that drives any Trainer: steps, log, previews, checkpoints, and a clean end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gentool import weights
from gentool.compute import is_out_of_memory
from gentool.errors import GentoolError, TrainingError
from gentool.progress import silent
from gentool.training import checkpoint, log, state
from gentool.training.average import Average
from gentool.training.checkpoint import Position
from gentool.training.data.feed import feeds, orders
from gentool.training.display import Display
from gentool.training.distributed import all_or_none, others_lost_explained
from gentool.training.folder import Folder
from gentool.training.profile import Profile
from gentool.training.saver import Saver
from gentool.training.seeds import derive, seed_everything
from gentool.training.setup import Setup
from gentool.training.signals import interruptible
from gentool.training.stepper import Stepper
from gentool.training.update import Moment

if TYPE_CHECKING:
    from gentool.protocols import Trainer


def fit(
    trainer: Trainer,
    setup: Setup,
    run: Path,
    method: str,
    seed: int = 0,
    hyper: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    display: Display | None = None,
    begun: Callable[[], None] | None = None,
) -> bool:
    """Train until what the plan asks for is done, or until Ctrl-C.

    Writes into ``run``: ``weights.safetensors`` (averaged, ready for ``gentool run --weights``),
    ``checkpoints/``, ``metrics.jsonl`` and ``previews/``.

    Args:
        trainer: the method's.
        setup: what the trainer was built with.
        run: folder of this training; made if needed.
        method: name of the method.
        seed: of everything random.
        hyper: hyper-parameters beyond the plan's, compared on resume and kept with the weights.
        metadata: free text that is kept with the weights: licence, trained_on.
        display: told what happens.
        begun: called when data, trainer and folder have proved usable.

    Returns:
        Whether all is done; False after Ctrl-C.

    Raises:
        TrainingError: the data does not do, a loss is not finite, or the run cannot be started
            or resumed.
        OutputError: a file cannot be written; the last checkpoint is intact.
    """
    display = display or Display()
    with contextlib.ExitStack() as held:
        with all_or_none(setup.group):
            loop = _Loop(
                trainer, setup, run, method, seed, hyper or {}, metadata or {}, display, held
            )
            if begun:
                begun()
        with others_lost_explained():
            loop.prepare()
            return loop.go()


class _Loop:
    def __init__(
        self,
        trainer: Trainer,
        setup: Setup,
        run: Path,
        method: str,
        seed: int,
        hyper: Mapping[str, Any],
        metadata: Mapping[str, Any],
        display: Display,
        held: contextlib.ExitStack,
    ) -> None:
        self.trainer, self.setup, self.plan = trainer, setup, setup.plan
        self.run, self.seed, self.display = run, seed, display
        # in order of cost: what is wrong is said before pictures are decoded, and the folder is
        # made last
        folder = Folder(run, self.plan.resume, held, setup.group.first)
        if setup.group.first:
            log.check_tensorboard(self.plan)
        self.orders = orders(trainer.datasets, setup, seed)
        state.check_kept(trainer)
        self.hyper = self.plan.hyper() | {
            "sets": [_fingerprint(samples) for samples in trainer.datasets],
            "precision": setup.compute.precision,
            "devices": setup.group.size,
            "seed": seed,
            **hyper,
        }
        self.average = Average(trainer.model, self.plan.ema)
        self.groups = state.Groups(trainer.updates)
        self.at = self._resumed() if self.plan.resume else Position()
        self.resumed = self.at.steps, self._taken_before()
        self.steps = self._steps()
        self.feeds = feeds(trainer.datasets, setup, seed, display)
        for feed, taken in zip(self.feeds, self._taken(), strict=True):
            feed.number = taken
        if setup.group.first:
            folder.take(display.note)
            log.cut(run, self.at.steps)
        self.log = log.Log(run, method, display, setup, after=self.at.steps)
        self._load_log(setup.group.rank)
        self.saver = Saver(
            trainer=trainer,
            average=self.average,
            run=run,
            method=method,
            seed=seed,
            hyper=self.hyper,
            metadata=metadata,
            log=self.log,
            at=self.at,
            keep=self.plan.keep,
        )
        self.previewed = -1  # the step; so is saved

    def prepare(self) -> None:
        """What processes do together, once each of them is ready."""
        self.stepper = Stepper(self.trainer.updates, self.setup)
        if self.at.scaler:
            self.stepper.scaler.load_state_dict(self.at.scaler)
        self.saved = self.setup.group.gather(self.saver.saved())[
            0
        ]  # the first's: it has the folder

    def _load_log(self, rank: int) -> None:
        kept: Any = self.at.log
        logs = [kept] if isinstance(kept, dict) else kept  # older checkpoints have the first's
        if logs:
            self.log.load_state(logs[rank] if rank < len(logs) else logs[0])

    def _steps(self) -> int | None:
        """Steps in all; None if time alone decides."""
        plan = self.plan
        if plan.epochs is None:
            if plan.steps is None and plan.minutes is None:
                raise TrainingError("say how long to train: --steps, --epochs or --minutes")
            return plan.steps
        if not self.orders:
            raise TrainingError("--epochs: this method has no data set; give --steps or --minutes")
        batches = plan.epochs * self.orders[0].per_epoch - self._taken()[0]
        steps = round(self.at.steps + batches / plan.accumulate)
        return min(plan.steps or 2**63, max(1, steps))

    def _taken_before(self) -> list[int]:
        """Batches of each data set that earlier sessions took; in other sizes, as many passes."""
        one = self.plan.accumulate
        if len(self.at.taken) != len(self.orders):  # older checkpoints do not tell
            return [self.at.steps * one for _ in self.orders]
        pairs = zip(self.at.taken, self.orders, strict=True)
        return [round(n * order.per_epoch / whole / one) * one for (n, whole), order in pairs]

    def _taken(self) -> list[int]:
        """Batches of each data set that the steps so far took."""
        steps, taken = self.resumed
        return [n + (self.at.steps - steps) * self.plan.accumulate for n in taken]

    def _resumed(self) -> Position:
        """Where the training goes on: at its last checkpoint, which its networks take in."""
        note = self.display.note if self.setup.group.first else silent
        at, kept = checkpoint.load(self.run, self.hyper, self.plan.allow_changes, note)
        self._restore(kept)
        self.groups.restore(at.groups)
        self.display.note(f"resuming after step {at.steps}")
        return at

    def _restore(self, kept: Mapping[str, Tensor]) -> None:
        try:
            state.restore(self.trainer, self.average, kept)
        except (RuntimeError, LookupError, ValueError) as e:
            if is_out_of_memory(e):
                raise
            raise TrainingError(
                f"--resume: the checkpoint in {self.run} is of other networks than these flags "
                f"make: {str(e).splitlines()[-1].strip()}"
            ) from e

    def go(self) -> bool:
        """Train; whether all is done."""
        profile = Profile(self.setup, self.trainer.updates) if self.plan.profile else None
        self.started = time.perf_counter() - self.at.seconds
        self.begun = self._share(), self.at.seconds
        self.display.begin(self.at.steps, self.steps)
        try:
            with interruptible(self.setup.group.size > 1, self.display.note) as interrupted:
                while True:
                    stop, share = interrupted.is_set(), self._share()
                    going = not stop and (share < 1 or not self.setup.group.first)
                    # before they agree: one that failed in the step would leave the others in it
                    batches, waited, error = self._fetch() if going else ([], 0.0, None)
                    stop, share = self.setup.group.agree(stop, share, error)
                    if stop or share >= 1:
                        break
                    self._step(share, batches, waited, profile)
                self.log.check(self.at.steps)  # of what is recorded nothing is left to check
                if share >= 1 and self.log.pending:  # after Ctrl-C they go into the next record
                    self._record(Moment(self.at.steps, share))
                # how it is at the end; after Ctrl-C nobody wants to wait for it
                wanted = share >= 1 and self.plan.preview_every > 0
                self._look(wanted and self.previewed != self.at.steps, self.saved != self.at.steps)
        finally:
            self.log.close()
            for feed in self.feeds:
                feed.close()
            self.display.end()
        if profile:
            self.display.note(profile.summary())
        if self.at.best_step not in (None, self.at.steps):
            best = self.run / weights.BEST
            self.display.note(f"best by validation: after step {self.at.best_step}, in {best}")
        if share < 1:
            self.display.note(f"stopped after step {self.at.steps}; go on with --resume")
        return share >= 1

    def _share(self) -> float:
        """Part of the training that is done, 0..1."""
        self.at.seconds = time.perf_counter() - self.started
        by_steps = self.at.steps / self.steps if self.steps else 0.0
        by_time = self.at.seconds / 60 / self.plan.minutes if self.plan.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def _fetch(self) -> tuple[list[list[Any]], float, GentoolError | None]:
        """A step's batches, the seconds that they took, and what is wrong where there are none."""
        begun, batches, error = time.perf_counter(), list[list[Any]](), None
        try:
            batches = [[next(feed) for feed in self.feeds] for _ in range(self.plan.accumulate)]
        except GentoolError as e:
            error = e
        return batches, time.perf_counter() - begun, error

    def _step(
        self, share: float, batches: list[list[Any]], waited: float, profile: Profile | None
    ) -> None:
        moment = Moment(self.at.steps, share)
        seed_everything(derive(self.seed, "step", moment.step, self.setup.group.rank))
        step = profile.watch(self.stepper) if profile else self.stepper
        scalars = step(moment, batches)
        self.at.steps += 1
        self.average.update(self.at.steps)
        self.log.add(scalars, waited)
        self.display.step(self.at.steps, self._share(), self._left())
        due = self._due(self.plan.log_every) or self.at.steps == self.steps
        if self.setup.device.type == "cpu" or due:
            self.log.check(self.at.steps)  # waits for a GPU, so not at every step there
        if due:
            self._record(moment)
        self._look(self._due(self.plan.preview_every), self._due(self.plan.checkpoint_every))

    def _left(self) -> float:
        """Seconds that the rest will take, at the pace since it began here or was resumed here.

        What was done before tells little: it may have been another machine, or a busier one.
        """
        done, seconds = self._share(), self.at.seconds
        share_then, seconds_then = self.begun
        gained = done - share_then
        return (seconds - seconds_then) / gained * (1 - done) if gained > 0 else 0.0

    def _record(self, moment: Moment) -> None:
        samples = self.plan.batch_size * self.plan.accumulate * self.setup.group.size
        self.log.write(self.at.steps, self._epoch(), self.stepper.rate(moment), samples)

    def _due(self, every: int) -> bool:
        return bool(every) and self.at.steps % every == 0

    def _epoch(self) -> float:
        if not self.orders:
            return 0.0
        return self._taken()[0] / self.orders[0].per_epoch

    def _look(self, preview: bool, save: bool) -> None:
        """Validate and save the averaged networks; preview what they do. One process does."""
        if not (preview or save):
            return
        self.log.check(self.at.steps)
        self.at.log = self.setup.group.gather(self.log.state())
        self.at.groups = self.groups.changed()
        taken = zip(self._taken(), self.orders, strict=True)
        self.at.taken = [[number, order.per_epoch] for number, order in taken]
        if self.stepper.scaler.is_enabled():
            self.at.scaler = self.stepper.scaler.state_dict()
        if preview:
            self.previewed = self.at.steps
        if save:
            self.saved = self.at.steps
        if self.setup.group.first:
            with self.log.pause():
                calibrated = self.saver.save(preview) if save else None
                if preview:
                    self.saver.show(calibrated)


def _fingerprint(samples: Any) -> str:
    named = getattr(samples, "fingerprint", None)
    return named() if named else str(len(samples))
