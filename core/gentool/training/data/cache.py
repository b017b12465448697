"""Keeping decoded pictures, where they fit, so that they are decoded once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from gentool import memory
from gentool.compute import cores, is_out_of_memory
from gentool.errors import TrainingError
from gentool.progress import Progress
from gentool.training.data.pictures import Pictures, explain

SHARE = 0.25  # of free memory that a cache may take; while it is built, twice that goes
SAMPLED = 500  # pictures whose sizes tell how large the whole set is
PREPARED = 16  # the same where each must be decoded for it


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
        # a device's copy is made in main memory first
        if size > SHARE * memory.free(torch.device("cpu")) / sharing:
            return False
        fits = device.type not in ("cpu", "mps") and size < SHARE * memory.free(device)
        where = "device" if pictures.transform is None and fits else "ram"
    reasons: dict[str, str] = {}

    def decode(index: int) -> Tensor | None:
        try:
            decoded = pictures.decode(index)
        except Exception as e:  # decoders raise nearly anything on damaged files
            if is_out_of_memory(e):
                raise
            reasons[pictures.full_name(index)] = explain(e)
            return None
        return pictures.prepared(index, decoded)

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
