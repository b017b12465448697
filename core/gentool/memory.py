"""Memory: how much is free, and keeping what is freed."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

KEPT = 256 * 2**20  # bytes of freed memory that the CPU's allocator keeps for the next layer
# by the controllers in a line of /proc/self/cgroup, versions 2 and 1: folder and files of a group
CGROUPS = {
    "": ("", "memory.max", "memory.current", "inactive_file"),
    "memory": (
        *("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        "total_inactive_file",
    ),
}


def free(device: torch.device) -> int:
    """Bytes that this process may still take: CUDA's own, main memory for any other device."""
    import psutil
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return max(0, min([int(psutil.virtual_memory().available), *_left_by_cgroups()]))


def _left_by_cgroups(
    mine: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> list[int]:
    """What the limits of a container or of a scheduler's job leave; psutil knows only the machine.

    Cached files count as used there, but make way.
    """
    found = []
    with contextlib.suppress(OSError):  # not on Linux
        for line in mine.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in CGROUPS:
                continue
            folder, limit, used, cached = CGROUPS[controllers]
            inside = root / folder / path.strip("/")
            for group in (inside, *inside.parents):  # the limit may be that of one further up
                with contextlib.suppress(OSError, ValueError, KeyError):  # "max": none
                    most = int((group / limit).read_text())
                    facts = (group / "memory.stat").read_text().split()
                    files = dict(zip(facts[::2], map(int, facts[1::2]), strict=True))[cached]
                    found.append(most - int((group / used).read_text()) + files)
    return found


@functools.cache
def keep_freed() -> None:
    """Let glibc keep what one layer frees for the next.

    By default it gives much of it back to the system and gets it anew, page by page, which took
    a fifth of the time of sampling from the GAN and a seventh of training AdaIN. Does nothing
    without glibc, and where the environment says how its allocator is to behave.
    """
    import ctypes

    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):
        tune = ctypes.CDLL(None).mallopt
        tune(-3, 32 * 2**20)  # M_MMAP_THRESHOLD: what is larger always goes back; glibc's maximum
        tune(-1, KEPT)  # M_TRIM_THRESHOLD
