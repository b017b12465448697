"""One content from start to finish: level by level, with previews, interruption and resume."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from gentool import Context, DeviceError, OutputError, UsageError, WeightsError
from gentool.color import keep_luminance
from gentool.compute import out_of_memory_explained
from gentool.images import resize, to_size
from gentool.weights import read_header
from gentool_gatys import painting
from gentool_gatys.interrupt import interruptible
from gentool_gatys.options import StylizeOptions
from gentool_gatys.painting import Pictures
from gentool_gatys.run import Run
from gentool_perceptual.features import Features

Result = TypeVar("Result")

# what may differ between a command and the one that resumes it
FREE = {"content", "steps", "tolerance", "tile", "preview_every", "plot", "resume"}


def outside(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call with gradients: the runner computes everything else in inference mode."""
    with torch.inference_mode(False), torch.enable_grad():
        return function(*arguments)


class Job:
    """Paints one content.

    Attributes:
        curve: the terms of every evaluation, at all sizes.
        interrupted: whether Ctrl-C ended it.
        resumable: whether what is kept of it lets it go on.
    """

    def __init__(
        self, pictures: Pictures, features: Features, options: StylizeOptions, context: Context
    ) -> None:
        self.pictures = outside(_ordinary, pictures)
        self.features, self.options, self.context = features, options, context
        self.curve: list[dict[str, float]] = []
        self.run: Run | None = None
        self.level = 0  # long side of what the run works on, pixels
        self.interrupted = False
        self.began = time.perf_counter()
        self.kept = cache_folder() / f"{self._key()}.safetensors"
        self.resumable = options.resume and self.kept.exists()
        if self.resumable:
            self._take_seed()
        elif options.resume:
            if len(options.content) == 1:
                raise UsageError(
                    "--resume: there is nothing to go on with; it continues a command with the "
                    "same pictures and options that Ctrl-C stopped"
                )
            context.progress.note("--resume: nothing to go on with here; starting anew")

    def _facts(self) -> dict[str, str]:
        """What the kept file says of itself."""
        try:
            return read_header(self.kept).metadata
        except WeightsError as e:
            raise UsageError(
                f"--resume: what was kept in {self.kept} is damaged; run without --resume"
            ) from e

    def _take_seed(self) -> None:
        """Go on with the seed that the picture began with: provenance tells what made it."""
        seed = int(self._facts().get("seed", self.context.seed))  # once it was not kept
        if seed != self.context.seed and not self.context.seed_drawn:
            raise UsageError(
                f"--resume: this began with seed {seed}, not {self.context.seed}; leave out --seed"
            )
        self.context.seed = seed

    def previews(self) -> Iterator[Tensor]:
        """Do the work; gives the picture so far every ``preview_every`` evaluations."""
        sizes = painting.levels(max(self.pictures.content.shape[1:]))
        first, before = 0, None
        if self.resumable:
            kept = self._facts()
            first, before = int(kept["level"]), self.pictures.content
            self.curve = json.loads(kept.get("below", "[]"))
        with interruptible() as asked:
            for level in range(first, len(sizes)):
                run = outside(
                    painting.start, self.pictures, self.features, sizes[level], before,
                    self.options, self.context,
                )  # fmt: skip
                self.run, self.level = run, sizes[level]
                if self.resumable and level == first:
                    outside(run.load, self.kept)
                yield from self._advance(run, f"{sizes[level]} px", asked.is_set)
                self.curve += run.curve
                if not run.finished:
                    self.interrupted = True
                    self._keep(run, level)
                    return
                before = self._picture()
        with contextlib.suppress(OSError):
            self.kept.unlink(missing_ok=True)

    def _keep(self, run: Run, level: int) -> None:
        """Keep the run for ``--resume``; the picture matters more than that."""
        try:
            below = self.curve[: len(self.curve) - len(run.curve)]
            seed = str(self.context.seed)
            run.save(self.kept, level=str(level), below=json.dumps(below), seed=seed)
            self.resumable = True
        except (OSError, OutputError) as e:
            self.context.progress.note(f"cannot be gone on with: {e}")
            self.resumable = False

    def _advance(self, run: Run, what: str, asked: Callable[[], bool]) -> Iterator[Tensor]:
        every = self.options.preview_every
        with self.context.progress.bar(run.steps, what) as show:
            while not (run.finished or asked()):
                try:
                    with out_of_memory_explained():
                        outside(run.advance, every or run.steps, show, asked)
                except DeviceError:
                    if not run.loss.halve_tiles():
                        raise
                    self.context.progress.note("memory is short: going on in smaller tiles")
                    continue
                if every and not (run.finished or asked()):
                    yield self.result()

    def _picture(self) -> Tensor:
        """The run's picture (3,H,W) on the CPU, what was added to its edges taken off."""
        assert self.run is not None
        height, width = resize(self.pictures.content, self.level).shape[1:]
        return self.run.picture[0, :, :height, :width].cpu()

    def result(self) -> Tensor:
        """The picture so far, at its final size and with the colors that were asked for."""
        content = self.pictures.content
        picture = to_size(self._picture(), content.shape[1:])
        luminance = self.options.preserve_color == "luminance"
        return keep_luminance(picture, content) if luminance else picture

    def summary(self) -> str:
        """How it ended, with the loss of the 8-bit picture, in one line."""
        assert self.run is not None
        run, seconds = self.run, time.perf_counter() - self.began
        terms = run.loss.terms((run.picture * 255).round() / 255)
        words = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
        text = f"{words} after {len(self.curve)} evaluations in {seconds:.0f} s"
        if not self.interrupted:
            return text
        how = ", the same command with --resume goes on" if self.resumable else ""
        return f"{text}; stopped by Ctrl-C{how}"

    def _key(self) -> str:
        """The same for the same pictures and the options that matter."""
        p = self.pictures
        found = hashlib.sha256(self.options.model_dump_json(exclude=FREE).encode())
        found.update(repr(self.options.features).encode())  # dumped are their names alone
        for tensor in [p.content, *p.styles, *p.masks, *([] if p.first is None else [p.first])]:
            found.update(tensor.contiguous().numpy().tobytes())
        return found.hexdigest()[:32]


def cache_folder() -> Path:
    """Where interrupted runs are kept: ``$XDG_CACHE_HOME/gentool/gatys``, or in ``~/.cache``."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # nobody knows the home, in some containers
        base = Path(tempfile.gettempdir())
    return base / "gentool" / "gatys"


def _ordinary(pictures: Pictures) -> Pictures:
    """Copies that autograd takes: what was read in inference mode it refuses."""
    first = None if pictures.first is None else pictures.first.clone()
    return Pictures(
        pictures.content.clone(),
        [style.clone() for style in pictures.styles],
        [mask.clone() for mask in pictures.masks],
        first,
    )
