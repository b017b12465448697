"""How the averaged networks are validated, saved and shown while they are trained."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gentool import weights
from gentool.errors import OutputError, WeightsError
from gentool.files import write_file
from gentool.training import checkpoint, runs, state
from gentool.training.average import Average
from gentool.training.checkpoint import Position
from gentool.training.log import Log
from gentool.training.seeds import derive, seed_everything

if TYPE_CHECKING:
    from gentool.protocols import Trainer

Calibrated = dict[str, dict[str, Tensor]]  # networks' states by name


class Saver:
    """Writes into a training's folder: weights, checkpoints, previews. One process does.

    Args:
        trainer: the method's.
        average: of its networks.
        run: the folder.
        method: name of the method.
        seed: of everything random.
        hyper: hyper-parameters, kept with weights and checkpoints.
        metadata: free text that is kept with the weights.
        log: takes what validation gives.
        at: how far the training is, which the loop says; the best score is noted there.
        keep: checkpoints that stay.
    """

    def __init__(
        self,
        trainer: Trainer,
        average: Average,
        run: Path,
        method: str,
        seed: int,
        hyper: dict[str, Any],
        metadata: Mapping[str, Any],
        log: Log,
        at: Position,
        keep: int,
    ) -> None:
        self.trainer, self.average, self.run, self.method = trainer, average, run, method
        self.seed, self.hyper, self.metadata = seed, hyper, metadata
        self.log, self.at, self.keep = log, at, keep
        self._kept = at.steps or -1  # the step of the last checkpoint

    def saved(self) -> int:
        """The step that the weights in the folder are of, if that is this one; else -1."""
        with contextlib.suppress(WeightsError, ValueError, LookupError):
            recipe = weights.read_header(self.run / weights.FILE).metadata["recipe"]
            if json.loads(recipe)["steps"] == self.at.steps:
                return self.at.steps
        return -1

    def save(self, shown: bool) -> Calibrated | None:
        """Validate and save; the networks as they were saved, if they are to be shown."""
        with self._kept_however():
            with self._averaged():
                self._validate()
                self._save_weights()
                nets = self.trainer.model.networks.items() if shown else ()
                calibrated = {
                    name: {key: tensor.clone() for key, tensor in net.state_dict().items()}
                    for name, net in nets
                }
            self._save_checkpoint()
        return calibrated or None

    def show(self, calibrated: Calibrated | None) -> None:
        """Preview; the networks as :meth:`save` gave them, or None if it was not asked."""
        with self._kept_however(), self._averaged(calibrated):
            self._preview()

    @contextlib.contextmanager
    def _kept_however(self) -> Iterator[None]:
        """Save what was learnt if the body fails, or a resume would come to the same failure."""
        try:
            yield
        except Exception:
            if self._kept != self.at.steps:  # without another validation: memory may be short
                self._save_checkpoint()
            raise

    @contextlib.contextmanager
    def _averaged(self, calibrated: Calibrated | None = None) -> Iterator[None]:
        """The networks as they will be used: averaged, calibrated and in eval mode.

        Args:
            calibrated: what calibration, which may take minutes, made of them already.
        """
        nets = [*self.trainer.model.networks.values()]
        training = [net.training for net in nets]
        with self.average.applied():
            try:
                for net in nets:
                    net.eval()
                if calibrated is None:
                    self._draw_as_always()
                    self.trainer.calibrate()
                for name, state_dict in (calibrated or {}).items():
                    self.trainer.model.networks[name].load_state_dict(state_dict)
                yield
            finally:
                for net, mode in zip(nets, training, strict=True):
                    net.train(mode)

    def _draw_as_always(self) -> None:
        """The same random numbers every time, so that what is shown compares."""
        seed_everything(derive(self.seed, "preview"))

    def _preview(self) -> None:
        self._draw_as_always()
        folder = self.run / runs.PREVIEWS
        artifacts = self.trainer.preview()
        try:
            folder.mkdir(exist_ok=True)
        except OSError as e:
            raise OutputError(f"{folder}: cannot make the folder: {e.strerror}") from e
        for i, artifact in enumerate(artifacts):
            name = runs.preview_name(self.at.steps, i, artifact.suffix)
            write_file(folder / name, artifact.encode(artifact.suffix))

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
        for name in [weights.FILE] + [weights.BEST] * (self.at.best_step == self.at.steps):
            path = self.run / name
            weights.save(path, self.trainer.model, self.method, recipe=recipe, **self.metadata)

    def _save_checkpoint(self) -> None:
        """Last, because it is what says that the rest is there."""
        kept = state.collect(self.trainer, self.average)
        checkpoint.save(self.run, self.at, self.hyper, kept, self.keep)
        self._kept = self.at.steps
