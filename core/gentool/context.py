"""What the core tells an action: its own flags, and the context of one run."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from gentool.compute import MAX_THREADS, PRECISIONS, Compute, generator, out_of_memory_explained
from gentool.errors import GentoolError, UsageError
from gentool.images import Picture, name_of, read, square
from gentool.progress import Item, Progress

if TYPE_CHECKING:
    import torch

    from gentool.images import Source

DEVICE = re.compile(r"(auto|cpu|mps|cuda(:\d+)?)\Z")
SMALL = 2**20  # pixels up to which sources of a batch go several at once

Input = TypeVar("Input", bound="Source")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Settings:
    """The core's own flags, the same for every action.

    Attributes:
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        seed: of everything random, 0..2^63-1; None draws one and records it.
        threads: CPU threads; None leaves PyTorch's choice.
        weights: name of a packaged set, a file or a training run's folder; None for the default.
        allow_large: read pictures of more than 179 megapixels, which may be made to fill memory.

    Raises:
        UsageError: one of them is nothing that any machine takes.
    """

    device: str = "auto"
    precision: str = "auto"
    seed: int | None = None
    threads: int | None = None
    weights: str | None = None
    allow_large: bool = False

    def __post_init__(self) -> None:
        seed = self.seed
        if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
            raise UsageError(f"seed: must be a whole number from 0 to 2^63 - 1, got {seed!r}")
        if not isinstance(self.device, str) or not DEVICE.match(self.device):
            raise UsageError(f"device: must be auto, cpu, mps, cuda or cuda:N, got {self.device!r}")
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"precision: must be one of {', '.join(PRECISIONS)}, got {self.precision!r}"
            )
        threads = self.threads
        if threads is not None and (type(threads) is not int or not 1 <= threads <= MAX_THREADS):
            raise UsageError(
                f"threads: must be a whole number from 1 to {MAX_THREADS}, got {threads!r}"
            )


@dataclass
class Context:
    """What an action is given beside its model and options.

    Attributes:
        compute: device and precision.
        seed: of everything random.
        allow_large: see :class:`Settings`.
        progress: where progress and notes go.
        failures: (name, reason) of the batch's items that failed.
        seed_drawn: nobody gave the seed. An action that goes on with what another run began may
            then set it to that one's, which made the result.
    """

    compute: Compute
    seed: int
    allow_large: bool = False
    progress: Progress = field(default_factory=Progress)
    failures: list[tuple[str, str]] = field(default_factory=list)
    seed_drawn: bool = False

    @property
    def device(self) -> torch.device:
        return self.compute.device

    def generator(self, index: int | None = None) -> torch.Generator:
        """A fresh CPU generator, seeded: draw on the CPU, then move, for equal numbers anywhere.

        With ``index``, the generator of picture number ``index``: it does not depend on how many
        pictures there are or how they are batched.
        """
        return generator(self.seed, index)

    def read(self, source: Source) -> Picture:
        """Read a picture and pass its notes on.

        Raises:
            ImageError: it cannot be read.
        """
        picture = read(source, self.allow_large)
        for text in picture.notes:
            self.progress.note(f"{name_of(source)}: {text}")
        return picture

    def read_square(self, source: Source, size: int) -> Picture:
        """Read a picture's middle square, (3,size,size), and tell what became of the rest.

        It has no alpha: what was transparent is white.

        Raises:
            ImageError: it cannot be read.
        """
        picture = self.read(source)
        height, width = picture.pixels.shape[1:]
        if (height, width) != (size, size):
            self.progress.note(
                f"{name_of(source)}: brought from {width}x{height} to {size}x{size}, which these "
                "weights are for"
            )
        if picture.alpha is not None:
            self.progress.note(f"{name_of(source)}: what is transparent became white")
        return replace(picture, pixels=square(picture, size), alpha=None)

    def batch(
        self,
        work: Callable[[Input], Iterable[Made]],
        sources: Sequence[Input],
        what: str,
        pixels: Callable[[Input], int] | None = None,
    ) -> Iterator[Made]:
        """Yield what ``work`` makes of each source, in their order, under a progress bar.

        In a batch of several, a failure is noted and the batch goes on.

        Args:
            work: yields the artifacts of one source; where several go at once, in other threads, so
                it draws from :meth:`generator` and not from PyTorch's global one. What it tells
                comes with its results.
            sources: pictures or files.
            what: beside the bar.
            pixels: of a source's results, :func:`gentool.images.area` for one of its own size.
                On the CPU those of up to a megapixel then go several at once: on two cores in two
                thirds of the time. None: never.
        """
        from gentool import parallel

        def small(source: Input) -> bool:
            if pixels is None or self.device.type != "cpu":
                return False
            try:
                return pixels(source) <= SMALL
            except GentoolError:  # the work says it better, in its turn
                return False

        shown, self.progress = self.progress, parallel.InTurn(self.progress)
        try:
            with contextlib.closing(parallel.calls(work, sources, small, self.progress)) as found:
                for source in self.each(sources, what):
                    with self.guard(source, sources):
                        yield from next(found)()
        finally:
            self.progress = shown

    def each(self, items: Sequence[Item], what: str) -> Iterable[Item]:
        """Go through a batch, showing progress if there are several."""
        return self.progress.track(items, what) if len(items) > 1 else items

    @contextlib.contextmanager
    def guard(self, source: Source, batch: Sequence[Source]) -> Iterator[None]:
        """In a batch of several, a failure of the body is noted and the batch goes on."""
        try:
            with out_of_memory_explained():
                yield
        except GentoolError as e:
            if len(batch) == 1:
                raise
            name, reason = name_of(source), str(e)
            self.failures.append((name, reason))
            self.progress.fail(reason if name in reason else f"{name}: {reason}")
