"""The loop that drives any Trainer: steps, log, previews, checkpoints, and a clean end."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gentool import weights
from gentool.compute import is_out_of_memory
from gentool.errors import OutputError, TrainingError
from gentool.files import write_file
from gentool.progress import silent
from gentool.training import checkpoint, log, state
from gentool.training.average import Average
from gentool.training.checkpoint import Position
from gentool.training.data.feed import feeds, orders
from gentool.training.display import Display
from gentool.training.distributed import all_or_none
from gentool.training.folder import Folder
from gentool.training.profile import Profile
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
        self.run, self.method, self.seed = run, method, seed
        self.metadata, self.display = metadata, display
        # in order of cost: what is wrong is said before pictures are decoded, and the folder is
        # made last
        folder = Folder(run, self.plan.resume, held, setup.group.first)
        if setup.group.first:
            log.check_tensorboard(self.plan)
        self.orders = orders(trainer.datasets, setup, seed)
        self.steps = self._steps()
        self.hyper = self.plan.hyper() | {
            "sets": [_fingerprint(samples) for samples in trainer.datasets],
            "precision": setup.compute.precision,
            "devices": setup.group.size,
            "seed": seed,
            **hyper,
        }
        self.average = Average(trainer.model, self.plan.ema)
        self.at = self._resumed() if self.plan.resume else Position()
        self.feeds = feeds(trainer.datasets, setup, seed, display)
        for feed in self.feeds:
            feed.number = self.at.steps * self.plan.accumulate
        if setup.group.first:
            folder.take()
        self.log = log.Log(run, method, display, setup, after=self.at.steps)
        self.log.load_state(self.at.log)
        self.saved, self.previewed = self.at.steps or -1, -1

    def prepare(self) -> None:
        """What processes do together, once each of them is ready."""
        self.stepper = Stepper(self.trainer.updates, self.setup)
        if self.at.scaler:
            self.stepper.scaler.load_state_dict(self.at.scaler)

    def _steps(self) -> int | None:
        """Steps in all; None if time alone decides."""
        plan = self.plan
        if plan.epochs is None:
            if plan.steps is None and plan.minutes is None:
                raise TrainingError("say how long to train: --steps, --epochs or --minutes")
            return plan.steps
        if not self.orders:
            raise TrainingError("--epochs: this method has no data set; give --steps or --minutes")
        epoch = self.orders[0].per_epoch / plan.accumulate
        return min(plan.steps or 2**63, max(1, round(plan.epochs * epoch)))

    def _resumed(self) -> Position:
        """Where the training goes on: at its last checkpoint, which its networks take in."""
        note = self.display.note if self.setup.group.first else silent
        at, kept = checkpoint.load(self.run, self.hyper, self.plan.allow_changes, note)
        self._restore(kept)
        if self.setup.group.first:
            log.cut(self.run, at.steps)
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
        self.display.begin(self.at.steps, self.steps)
        try:
            with interruptible(self.setup.group.size > 1, self.display.note) as interrupted:
                while True:
                    stop, share = self.setup.group.agree(interrupted.is_set(), self._share())
                    if stop or share >= 1:
                        break
                    self._step(share, profile)
                self.log.check(self.at.steps)  # of what is recorded nothing is left to check
                if share >= 1 and self.log.pending:  # after Ctrl-C they go into the next record
                    self._record(Moment(self.at.steps, share))
                if self.saved != self.at.steps:
                    self._look(preview=False, save=True)
                # how it is at the end, once that is saved; after Ctrl-C nobody wants to wait for it
                wanted = share >= 1 and self.plan.preview_every > 0
                if wanted and self.previewed != self.at.steps:
                    self._look(preview=True, save=False)
        finally:
            self.log.close()
            for feed in self.feeds:
                feed.close()
            self.display.end()
        if profile:
            self.display.note(profile.summary())
        if share < 1:
            self.display.note(f"stopped after step {self.at.steps}; go on with --resume")
        return share >= 1

    def _share(self) -> float:
        """Part of the training that is done, 0..1."""
        self.at.seconds = time.perf_counter() - self.started
        by_steps = self.at.steps / self.steps if self.steps else 0.0
        by_time = self.at.seconds / 60 / self.plan.minutes if self.plan.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def _step(self, share: float, profile: Profile | None) -> None:
        begun = time.perf_counter()
        batches = [[next(feed) for feed in self.feeds] for _ in range(self.plan.accumulate)]
        waited = time.perf_counter() - begun
        moment = Moment(self.at.steps, share)
        seed_everything(derive(self.seed, "step", moment.step, self.setup.group.rank))
        step = profile.watch(self.stepper) if profile else self.stepper
        scalars = step(moment, batches)
        self.at.steps += 1
        self.average.update(self.at.steps)
        self.log.add(scalars, waited)
        if self.setup.device.type == "cpu" or self._due(self.plan.log_every):
            self.log.check(self.at.steps)  # waits for a GPU, so not at every step there
        if self._due(self.plan.log_every):
            self._record(moment)
        self._look(self._due(self.plan.preview_every), self._due(self.plan.checkpoint_every))
        done = self._share()
        left = self.at.seconds / done * (1 - done) if done else 0.0
        self.display.step(self.at.steps, done, left)

    def _record(self, moment: Moment) -> None:
        samples = self.plan.batch_size * self.plan.accumulate * self.setup.group.size
        self.log.write(self.at.steps, self._epoch(), self.stepper.rate(moment), samples)

    def _due(self, every: int) -> bool:
        return bool(every) and self.at.steps % every == 0

    def _epoch(self) -> float:
        if not self.orders:
            return 0.0
        return self.at.steps * self.plan.accumulate / self.orders[0].per_epoch

    def _look(self, preview: bool, save: bool) -> None:
        """Preview what the averaged networks do; validate and save them. One process does."""
        if save:
            self.log.check(self.at.steps)
            self.saved = self.at.steps
        if preview:
            self.previewed = self.at.steps
        if not self.setup.group.first or not (preview or save):
            return
        with self.log.pause():
            with self._averaged():
                if preview:
                    self._preview()
                if save:
                    self._validate()
                    self._save_weights()
            if save:
                self._save_checkpoint()

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """The networks as they will be used: averaged, calibrated and in eval mode."""
        nets = [*self.trainer.model.networks.values()]
        training = [net.training for net in nets]
        with self.average.applied():
            try:
                for net in nets:
                    net.eval()
                self._draw_as_always()
                self.trainer.calibrate()
                yield
            finally:
                for net, mode in zip(nets, training, strict=True):
                    net.train(mode)

    def _draw_as_always(self) -> None:
        """The same random numbers every time, so that what is shown compares."""
        seed_everything(derive(self.seed, "preview"))

    def _preview(self) -> None:
        self._draw_as_always()
        folder = self.run / "previews"
        artifacts = self.trainer.preview()
        try:
            folder.mkdir(exist_ok=True)
        except OSError as e:
            raise OutputError(f"{folder}: cannot make the folder: {e.strerror}") from e
        for i, artifact in enumerate(artifacts):
            name = f"{self.at.steps:07}-{i}" if i else f"{self.at.steps:07}"
            write_file(folder / f"{name}{artifact.suffix}", artifact.encode(artifact.suffix))

    def _validate(self) -> None:
        self._draw_as_always()
        figures = {name: float(value) for name, value in self.trainer.validate().items()}
        if figures:
            self.log.validation(self.at.steps, figures)
            score = next(iter(figures.values()))
            if math.isfinite(score) and (self.at.best is None or score < self.at.best):
                self.at.best, self.at.best_step = score, self.at.steps

    def _save_weights(self) -> None:
        done = {"steps": self.at.steps, "minutes": round(self.at.seconds / 60, 1)}
        recipe = json.dumps(self.hyper | done, sort_keys=True)
        for name in ["weights"] + ["best"] * (self.at.best_step == self.at.steps):
            path = self.run / f"{name}.safetensors"
            weights.save(path, self.trainer.model, self.method, recipe=recipe, **self.metadata)

    def _save_checkpoint(self) -> None:
        """Last, because it is what says that the rest is there."""
        self.at.log = self.log.state()
        if self.stepper.scaler.is_enabled():
            self.at.scaler = self.stepper.scaler.state_dict()
        kept = state.collect(self.trainer, self.average)
        checkpoint.save(self.run, self.at, self.hyper, kept, self.plan.keep)


def _fingerprint(samples: Any) -> str:
    named = getattr(samples, "fingerprint", None)
    return named() if named else str(len(samples))
