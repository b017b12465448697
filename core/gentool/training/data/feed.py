"""An endless stream of one data set's batches, prepared by other processes where that helps."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pickle import PicklingError
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from gentool.compute import cores, send
from gentool.errors import GentoolError, TrainingError
from gentool.progress import Progress, silent
from gentool.training.data.batch import Batch, Draw
from gentool.training.data.cache import keep_decoded
from gentool.training.data.order import Order
from gentool.training.data.pictures import Pictures, explain
from gentool.training.seeds import derive, seed_everything
from gentool.training.setup import Setup

RESTARTS = 3  # a process that dies once was killed; one that dies again and again is broken


class Samples(Protocol):
    """Any map-style data set, ``torch.utils.data.Dataset`` included."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


class _Batches(Dataset[Any]):
    """A data set asked for whole batches."""

    def __init__(self, samples: Pictures | Samples) -> None:
        self.samples = samples

    def __getitem__(self, draw: Draw) -> tuple[Any, dict[str, str]] | GentoolError:
        if isinstance(self.samples, Pictures):
            try:
                return self.samples.batch(draw)
            except GentoolError as e:
                return e  # raised in a worker it would arrive with a traceback in its text
        with torch.random.fork_rng(devices=[]):
            seed_everything(draw.seed + draw.indices[0])
            return default_collate([self.samples[i] for i in draw.indices]), {}


class Feed:
    """Batches in order, on the device.

    Args:
        samples: the data set.
        order: which samples make which batch.
        workers: processes that prepare batches; 0 prepares them here.
        device, layout: where pictures go, and how they lie there.
        note: told of bad pictures and of processes that died.

    Attributes:
        number: of the next batch; set it before the first one to begin elsewhere.
    """

    def __init__(
        self,
        samples: Pictures | Samples,
        order: Order,
        workers: int,
        device: torch.device,
        layout: torch.memory_format = torch.contiguous_format,
        note: Callable[[str], None] = silent,
    ) -> None:
        self.samples, self.order, self.number = samples, order, 0
        self.workers, self.device, self.layout, self.note = workers, device, layout, note
        self.bad: dict[str, str] = {}
        self._restarts = 0
        self._batches = _Batches(samples)
        self._stream: Iterator[Any] | None = None

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> Any:
        return to_device(self.fetch(), self.device, self.layout)

    def fetch(self) -> Any:
        """The next batch as it was prepared: bytes, on the CPU unless it is kept elsewhere.

        Raises:
            TrainingError: none of its pictures can be read, the data set cannot be sent to the
                processes, or they keep dying.
        """
        found = self._next()
        if isinstance(found, GentoolError):
            raise found
        batch, bad = found
        self.number += 1
        for name, reason in bad.items():
            if name not in self.bad:
                self.bad[name] = reason
                self.note(f"skipped {name}: {reason} ({len(self.bad)} bad so far)")
        return batch

    def _next(self) -> Any:
        while True:
            if self._stream is None and self.workers:
                self._stream = self._start()
            if self._stream is None:
                return self._batches[self.order(self.number)]
            try:
                batch = next(self._stream)
            except (RuntimeError, OSError, EOFError) as e:
                self._stream = None
                if str(e).startswith("Caught"):  # the data set's own, raised in a worker
                    raise
                self._restarts += 1
                if self._restarts > RESTARTS:
                    raise TrainingError(
                        f"the processes that prepare the pictures died {self._restarts} times; "
                        "often memory runs out: try fewer --workers, or --workers 0"
                    ) from e
                self.note("a process that prepares the pictures died; starting it again")
            else:
                self._restarts = 0
                return batch

    def _start(self) -> Iterator[Any] | None:
        """The batches from other processes; None where there can be none."""

        def draws(number: int) -> Iterator[Draw]:
            while True:
                yield self.order(number)
                number += 1

        loader: DataLoader[Any] = DataLoader(
            self._batches,
            batch_size=None,  # the data set makes whole batches itself
            sampler=draws(self.number),  # any iterable serves
            num_workers=self.workers,
            prefetch_factor=4,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_begin_worker,
        )
        with _children_may_die(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Got pickle error")  # said below, shorter
            try:
                return iter(loader)
            except (PicklingError, AttributeError, TypeError) as e:
                raise TrainingError(
                    f"a data set's transform cannot be sent to other processes ({e}); define it at "
                    "module level, or --workers 0"
                ) from e
            except (RuntimeError, OSError) as e:  # shared memory, say, is short in a container
                self.note(f"no processes to prepare the pictures ({explain(e)}): going on without")
                self.workers = 0
                return None

    def close(self) -> None:
        """End the processes."""
        self._stream = None


def _begin_worker(_: int) -> None:
    """Leave Ctrl-C to the trainer, which needs batches to finish its step; end when it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_the_training, daemon=True).start()


def _end_with_the_training() -> None:
    # torch ends a worker whose parent was killed only if its last batches still fit into the pipe
    training = multiprocessing.parent_process()
    assert training is not None
    training.join()
    os._exit(1)


@contextlib.contextmanager
def _children_may_die() -> Iterator[None]:
    """Undo torch's SIGCHLD handler, which raises in the middle of a training step.

    A worker that died is noticed all the same, when its batch does not come.
    """
    if os.name == "nt" or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


def to_device(batch: Any, device: torch.device, layout: torch.memory_format) -> Any:
    """Move a batch, whatever it is made of."""
    if isinstance(batch, Batch):
        return batch.to(device, layout)
    if isinstance(batch, torch.Tensor):
        return send(batch, device)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(item, device, layout) for item in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(item, device, layout) for item in batch)
    if isinstance(batch, dict):
        return {name: to_device(item, device, layout) for name, item in batch.items()}
    return batch


def count(samples: Pictures | Samples) -> int:
    """How many samples a data set has.

    Raises:
        TrainingError: they have no numbers, as those of a stream.
    """
    if isinstance(samples, IterableDataset) or not hasattr(samples, "__len__"):
        raise TrainingError(
            f"{type(samples).__name__}: a data set must be map-style, with a length and samples "
            "by number"
        )
    return len(samples)


def orders(datasets: Sequence[Pictures | Samples], setup: Setup, seed: int) -> list[Order]:
    """Which samples of each data set of a trainer make which batch.

    Raises:
        TrainingError: a set is too small for one step, or not map-style.
    """
    size, group = (setup.plan.batch_size, setup.plan.accumulate), setup.group
    mirror, found = setup.plan.mirror, []
    for i, samples in enumerate(datasets):
        what = samples.where if isinstance(samples, Pictures) else "the set"
        found.append(Order(count(samples), *size, group, derive(seed, i), mirror, what))
    return found


def feeds(
    datasets: Sequence[Pictures | Samples], setup: Setup, seed: int, progress: Progress
) -> list[Feed]:
    """A feed for each data set of a trainer, decoded pictures kept where they fit.

    Raises:
        TrainingError: a set is too small for one step, cannot be read, or is not map-style.
    """
    plan, found = setup.plan, []
    for samples, order in zip(datasets, orders(datasets, setup, seed), strict=True):
        if isinstance(samples, Pictures):
            keep_decoded(
                samples, setup.device, plan.cache, progress, max(1, setup.group.local_size)
            )
        workers = plan.workers
        if workers and isinstance(samples, Pictures) and samples.on_device:
            progress.note(f"--workers {workers}: no use, the pictures are kept on {setup.device}")
            workers = 0  # the device is out of their reach
        if workers is None:
            workers = _workers(samples, setup, len(datasets))
        found.append(Feed(samples, order, workers, setup.device, setup.layout, progress.note))
    return found


def _workers(samples: Pictures | Samples, setup: Setup, datasets: int) -> int:
    """As many processes as leave the networks a core; none where nothing needs decoding."""
    if not isinstance(samples, Pictures) or samples.ready:
        return 0
    mine = cores() // max(1, setup.group.local_size) // datasets
    return max(1, min(8, mine - (setup.device.type == "cpu")))
