"""Where and how to compute: device, precision, seed, threads. The only place that decides."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from gentool.errors import DeviceError, GentoolError
from gentool.memory import keep_freed
from gentool.shared import Shared

if TYPE_CHECKING:
    import torch
    from torch import nn

Net = TypeVar("Net", bound="nn.Module")

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
MAX_THREADS = 1024  # OpenMP takes the whole process down where it cannot start that many


@dataclass(frozen=True)
class Compute:
    """A device and the precision of its convolutions and matrix products.

    Attributes:
        device: where tensors live.
        dtype: of convolutions and matrix products; statistics and losses stay in float32.
    """

    device: torch.device
    dtype: torch.dtype
    # holds the precision once it was entered; a frozen class cannot have a flag that is set
    _entered: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @property
    def precision(self) -> str:
        """``fp32``, ``bf16`` or ``fp16``."""
        return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}[
            str(self.dtype).removeprefix("torch.")
        ]

    @property
    def used(self) -> str:
        """The precision that was really computed in: fp32 for those that never autocast."""
        return self.precision if self._entered else "fp32"

    @property
    def layout(self) -> torch.memory_format:
        """In which convolutions run fastest: channels last, 1.3 to 1.7 times as fast.

        Not on Metal, where gradients through pooling and BatchNorm are wrong in it (pytorch issues
        175189 and 175190).
        """
        import torch

        return torch.contiguous_format if self.device.type == "mps" else torch.channels_last

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Run the body's convolutions and matrix products in :attr:`dtype`."""
        import torch

        self._entered.add(self.precision)
        with torch.autocast(
            self.device.type, self.dtype, enabled=self.dtype != torch.float32, cache_enabled=False
        ):
            yield

    def place(self, net: Net, channels_last: bool = True) -> Net:
        """Move a network to the device.

        Args:
            net: it is changed.
            channels_last: lay its convolutions out in :attr:`layout`, if none is of more than two
                dimensions.
        """
        import torch

        flat = all(tensor.dim() < 5 for tensor in (*net.parameters(), *net.buffers()))
        layout = self.layout if channels_last and flat else torch.contiguous_format
        moved: Any = net  # the stubs of Module.to lack memory_format
        moved.to(device=self.device, memory_format=layout)
        return net


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on the device; CUDA copies it while the program goes on.

    Metal would as well, but may read memory that is given back meanwhile (pytorch issue 189690).
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


def choose(device: str = "auto", precision: str = "auto", threads: int | None = None) -> Compute:
    """Pick a device (cuda, then mps, then cpu) and a precision that is fast on it.

    Args:
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``; ``auto`` takes bf16 where the
            hardware multiplies it fast, else fp32.
        threads: CPU threads; None leaves PyTorch's choice.

    Raises:
        DeviceError: this machine has no such device, or it cannot do that precision.
    """
    import torch

    if threads is not None:
        if not 1 <= threads <= MAX_THREADS:
            raise DeviceError(f"--threads: must be between 1 and {MAX_THREADS}, got {threads}")
        torch.set_num_threads(threads)
    chosen = _device(device)
    if chosen.type == "cpu":
        keep_freed()
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)  # or the loader pins memory through the first one
    if precision not in PRECISIONS:
        raise DeviceError(f"--precision: must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "auto":
        precision = "bf16" if _fast_bf16(chosen) else "fp32"
    if precision == "fp16" and chosen.type == "cpu":
        raise DeviceError("--precision fp16: not on the CPU; use bf16 or fp32")
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return Compute(chosen, dtype)


def _device(name: str) -> torch.device:
    import torch

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"--device: must be auto, cpu, mps, cuda or cuda:N, got {name!r}")
    if device.type == "cuda" and (device.index or 0) >= cuda:
        has = f"has {cuda} CUDA device{'s' * (cuda > 1)}" if cuda else "has no CUDA device"
        raise DeviceError(f"--device {name}: this machine {has}; try --device auto")
    if device.type == "mps" and not mps:
        raise DeviceError("--device mps: this machine has no Metal device; try --device auto")
    return device


@functools.cache
def _fast_bf16(device: torch.device) -> bool:
    """Whether bf16 runs in hardware; emulated, it is slower than float32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        has: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return False


@contextlib.contextmanager
def out_of_memory_explained(
    remedy: str = "make the pictures smaller or choose another --device",
    error: type[GentoolError] = DeviceError,
) -> Iterator[None]:
    """Make one line of whatever PyTorch raises when memory runs out.

    Args:
        remedy: what the user can do.
        error: raised in its place.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as e:
        if is_out_of_memory(e):
            raise error(f"does not fit into memory; {remedy}") from e
        raise


def _exact() -> AbstractContextManager[None]:
    import torch

    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


exactly = Shared(_exact)
"""Runs the body's convolutions in true float32 and in one order of sums, on a GPU as well."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; PyTorch and its libraries say so in several ways."""
    text = str(error).lower()
    said = (
        *("out of memory", "allocate memory", "bad_alloc", "could not create a primitive"),
        *("not enough memory", "alloc_failed", "invalid buffer size"),  # Windows, CUDA, Metal
    )
    return isinstance(error, MemoryError) or any(words in text for words in said)


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fresh_seed() -> int:
    """A seed for a run that was given none; provenance keeps it, so it can be repeated."""
    return secrets.randbelow(2**31)


class Randomness:
    """PyTorch's global generators for the draws of one run, beside those of whoever calls it.

    Enter it for each part of the run: it goes on where the part before ended, and the caller's
    draws as if there were no run. (On Metal there is no other than the global one.)
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._devices = [device] if device.type == "cuda" else []
        self._states: list[torch.Tensor] = []

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        import torch

        with torch.random.fork_rng(self._devices):
            if self._states:
                torch.set_rng_state(self._states[0])
                for device, state in zip(self._devices, self._states[1:], strict=True):
                    torch.cuda.set_rng_state(state, device)
            else:
                torch.manual_seed(self._seed)
            try:
                yield
            finally:
                self._states = [torch.get_rng_state()]
                self._states += [torch.cuda.get_rng_state(device) for device in self._devices]


def generator(seed: int, index: int | None = None) -> torch.Generator:
    """A CPU generator: the same numbers on every device, to be moved after drawing.

    Args:
        seed: of the run.
        index: number of the thing drawn for, whose numbers then depend on neither the others nor
            how they are batched; None for what belongs to no single thing.
    """
    import torch

    if index is not None:  # hashed, so that seed 1's first is not seed 0's second
        seed = int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(seed)


def describe() -> dict[str, str]:
    """This machine's devices by name, for ``gentool doctor``."""
    import torch

    threads = torch.get_num_threads()
    words = f"{threads} thread{'s' * (threads != 1)}, {torch.backends.cpu.get_cpu_capability()}"
    found = {"cpu": words}
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        found[f"cuda:{i}"] = torch.cuda.get_device_name(i)
    if torch.backends.mps.is_available():
        found["mps"] = "Metal"
    return found
