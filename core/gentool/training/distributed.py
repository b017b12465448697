"""Several processes, one training: a thin layer over torch.distributed.

``torchrun`` starts the processes and tells each its place in environment variables; gradients are
averaged by PyTorch's DistributedDataParallel. Without torchrun there is one process, and nothing
of torch.distributed is touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NoReturn, TypeVar

import torch
from torch import distributed

from gentool.compute import cores
from gentool.errors import DeviceError, GentoolError, TrainingError

Given = TypeVar("Given")

# for the process that previews and validates while the others wait; PyTorch's own is half an hour
PATIENCE = timedelta(hours=6)


@dataclass(frozen=True)
class Group:
    """The processes of a training, and which of them this is.

    Attributes:
        rank: this process's number; only rank 0 writes files and talks.
        size: how many there are, on all machines.
        local_rank: this process's number on its machine, which picks its device.
        local_size: how many there are on this machine.
        patient: by which they decide and wait for each other, on the CPU; None for one process.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    patient: distributed.ProcessGroup | None = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def agree(
        self, stop: bool, share: float, error: GentoolError | None = None
    ) -> tuple[bool, float]:
        """Whether any process wants to stop, and how far the first one is.

        Clocks and signals differ between processes, and all must take the same decision. All
        must ask at the same time.

        Args:
            stop: whether this one wants to.
            share: how far it is, 0..1.
            error: why it cannot go on.

        Raises:
            GentoolError: they would go on, but one of them cannot.
        """
        votes = [float(stop), share if self.first else 0.0, float(error is not None)]
        if self.size > 1:
            together = torch.tensor(votes, dtype=torch.float64)
            with _all_there():
                distributed.all_reduce(together, distributed.ReduceOp.MAX, self.patient)
            votes = together.tolist()
        stop, share = votes[0] > 0, votes[1]
        if votes[2] > 0 and not stop and share < 1:
            self.fail_together(error)
        return stop, share

    def fail_together(self, error: GentoolError | None) -> None:
        """Raise this process's error, or tell of another's; nothing where none has one.

        All must ask at the same time.
        """
        failures = self.gather(None if error is None else str(error))
        for rank, failure in enumerate(failures):
            if failure is not None:
                raise _agreed(error or TrainingError(f"process {rank}: {failure}"))

    def gather(self, given: Given) -> list[Given]:
        """What each process gives, by rank; all must ask at the same time."""
        if self.size == 1:
            return [given]
        found = [given] * self.size
        with _all_there():
            distributed.all_gather_object(found, given, self.patient)
        return found

    def mean(self, values: Sequence[float]) -> list[float]:
        """Means over the processes; all must ask at the same time, with as many values."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        with _all_there():
            distributed.all_reduce(total, group=self.patient)
        return [value / self.size for value in total.tolist()]


def launched() -> bool:
    """Whether torchrun, or something like it, started this process."""
    return {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys()


def agreed(error: Exception) -> bool:
    """Whether every process raises this error, or one that tells of it."""
    return getattr(error, "agreed", False)


def _agreed(error: GentoolError) -> GentoolError:
    error.agreed = True  # type: ignore[attr-defined]
    return error


def is_first() -> bool:
    """Whether this process is the one that writes and talks."""
    return int(os.environ.get("RANK", "0")) == 0 if launched() else True


def join(device: str = "auto") -> Group:
    """Meet the other processes, if there are any; a script's second training finds them together.

    Args:
        device: what the training is to run on, ``auto``, ``cpu`` or ``cuda``.

    Raises:
        DeviceError: this machine has fewer devices than processes, or nobody answers.
    """
    if not launched():
        return Group()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    rank, size, local_rank, local_size = (int(os.environ.get(name, "1")) for name in names)
    group = Group(rank, size, local_rank, local_size)
    if group.size > 1 and ":" in device:
        raise DeviceError(f"--device {device}: with several processes each takes one; say cuda")
    on_gpus = torch.cuda.is_available() and device in ("auto", "cuda")
    if on_gpus:
        if group.local_rank >= torch.cuda.device_count():
            raise DeviceError(
                f"process {group.local_rank} of this machine has no device: there are "
                f"{torch.cuda.device_count()}; start as many processes as devices"
            )
        torch.cuda.set_device(group.local_rank)
    nccl = on_gpus and distributed.is_nccl_available()  # Windows has none
    backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
    try:
        if not distributed.is_initialized():
            distributed.init_process_group(backend)
        # small decisions, such as whether to stop, are taken on the CPU without waiting for the GPU
        return replace(group, patient=distributed.new_group(backend="gloo", timeout=PATIENCE))
    except (RuntimeError, ValueError) as e:
        raise DeviceError(f"cannot meet the other processes: {e}") from e


def leave(code: int) -> NoReturn:
    """End a process that torchrun started, with this exit code.

    Gloo's threads sometimes abort while the interpreter shuts down, long after all work is
    done; leaving at once keeps the exit code true.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextlib.contextmanager
def all_or_none(group: Group) -> Iterator[None]:
    """A process that fails in the body makes all fail, instead of letting the others wait.

    Raises:
        GentoolError: as the body did, or as it did in another process.
    """
    error: GentoolError | None = None
    try:
        yield
    except GentoolError as e:
        error = e
    group.fail_together(error)


@contextlib.contextmanager
def others_lost_explained() -> Iterator[None]:
    """Make one line of what PyTorch raises in a step when another process is gone."""
    try:
        yield
    except RuntimeError as e:
        several = distributed.is_available() and distributed.is_initialized()
        if several and (isinstance(e, distributed.DistError) or "gloo" in str(e)):
            raise _lost(e) from e
        raise  # the trainer's own


@contextlib.contextmanager
def _all_there() -> Iterator[None]:
    """A process that is gone has told why, so those that miss it need not."""
    try:
        yield
    except RuntimeError as e:
        raise _lost(e) from e


def _lost(error: RuntimeError) -> GentoolError:
    # without the place in PyTorch's code, and what follows the first sentence
    reason = re.sub(r"^\[\S+\] ", "", str(error).partition("\n")[0]).partition(". ")[0]
    return _agreed(TrainingError(f"another process of this training ended or is stuck: {reason}"))


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run ``gentool ARGUMENTS`` in that many processes on this machine, as torchrun would.

    Returns:
        The exit code of the first process that failed, else 0.

    Raises:
        TrainingError: processes cannot be started here, or the system killed one.
    """
    if os.name == "nt":
        raise TrainingError(
            f"--devices {processes}: PyTorch does not start several processes on Windows; leave "
            "it out, or train in WSL"
        )
    # after Ctrl-C, torch gives processes 30 s by itself; a validation alone may take longer
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "3600")
    import logging
    import uuid

    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # we say it in a line
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-P", "-m", "gentool", *arguments)
    except ChildFailedError as e:
        for rank, failure in e.failures.items():  # those that miss a killed one may end first
            if failure.exitcode < 0:
                name = failure.signal_name()
                often = "often memory runs out: try a smaller --batch-size or fewer --workers; "
                raise TrainingError(
                    f"process {rank} of this training was ended by {name}; "
                    f"{often if name == 'SIGKILL' else ''}what was saved goes on with --resume"
                ) from e
        return e.get_first_failure()[1].exitcode
    except SignalException:
        return 130
    return 0
