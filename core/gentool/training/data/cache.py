"""Keeping decoded pictures, where they fit, so that they are decoded once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from gentool.compute import cores
from gentool.errors import TrainingError
from gentool.progress import Progress
from gentool.training.data.pictures import Pictures, explain

SHARE = 0.4  # of free memory that a cache may take
SAMPLED = 500  # pictures whose sizes tell how large the whole set is
PREPARED = 16  # the same where each must be decoded for it
# by the controllers in a line of /proc/self/cgroup, versions 2 and 1: folder and files of a group
CGROUPS = {
    "": ("", "memory.max", "memory.current", "inactive_file"),
    "memory": (
        *("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        "total_inactive_file",
    ),
}


def keep_decoded(
    pictures: Pictures, device: torch.device, where: str, progress: Progress, sharing: int = 1
) -> bool:
    """Decode a set once and keep it as bytes, if asked to or if it fits.

    Args:
        pictures: the set.
        device: of the training.
        where: ``none``, ``ram``, ``device``, or ``auto``: on the device if it fits there and has
            no transform, which would run between steps there instead of beside them in other
            processes; else in memory if it fits there, else nowhere.
        progress: shows how far it is, and which pictures are damaged.
        sharing: processes on this machine that do the same.

    Returns:
        Whether the pictures are kept now.

    Raises:
        TrainingError: none of them can be decoded.
    """
    if where == "none":
        return False
    if where == "auto":
        size = estimate(pictures)
        if size > SHARE * _free_memory() / sharing:  # a device's copy is made here first
            return False
        where = "device" if pictures.transform is None and size < _free_on(device) else "ram"
    reasons: dict[str, str] = {}

    def decode(index: int) -> Tensor | None:
        try:
            return pictures.pixels(index)
        except Exception as e:  # decoders raise nearly anything on damaged files
            reasons[pictures.name(index)] = explain(e)
            return None

    decoded = _all(decode, len(pictures), progress)
    for number, (name, reason) in enumerate(sorted(reasons.items()), 1):
        progress.note(f"skipped {name}: {reason} ({number} bad so far)")
    if reasons and all(picture is None for picture in decoded):
        name, reason = next(iter(reasons.items()))
        raise TrainingError(f"none of {len(pictures)} pictures can be read: {name}: {reason}")
    pictures.keep(decoded, device if where == "device" else torch.device("cpu"))
    return True


def _all(
    decode: Callable[[int], Tensor | None], count: int, progress: Progress
) -> list[Tensor | None]:
    pool = ThreadPoolExecutor(cores())  # Pillow decodes without Python's lock
    try:
        chunks = [range(i, min(i + 64, count)) for i in range(0, count, 64)]
        waiting = [pool.submit(lambda c: [decode(i) for i in c], chunk) for chunk in chunks]
        return [p for w in progress.track(waiting, "decoding pictures") for p in w.result()]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for the rest


def estimate(pictures: Pictures) -> int:
    """Bytes that a set takes when decoded and prepared, from the sizes of some of it."""
    step = max(1, len(pictures) // (PREPARED if pictures.prepare else SAMPLED))
    found = []
    for index in range(0, len(pictures), step):
        try:
            if pictures.prepare:
                found.append(pictures.pixels(index).numel())
                continue
            with pictures.image(index) as image:
                found.append(3 * image.width * image.height)
        except Exception:  # noqa: S112 - a bad picture takes no memory; it is noted when decoded
            continue
    return sum(found) * len(pictures) // max(1, len(found))


def _free_on(device: torch.device) -> float:
    return SHARE * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0.0


def _free_memory() -> int:
    import psutil

    return min(int(psutil.virtual_memory().available), *_left_by_cgroups())


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
