"""What there is in a set of pictures, before anyone trains on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from gentool.artifacts import Grid
from gentool.compute import cores
from gentool.images import resize
from gentool.progress import Progress
from gentool.training.data.pictures import Pictures, explain, held_out


@dataclass
class Inspection:
    """Facts about a set of pictures.

    Attributes:
        count: pictures, bad ones included.
        held_out: how many of them are kept for validation.
        classes: pictures by label; empty where there are no labels.
        formats, modes: how many files of which (JPEG; RGB).
        widths, heights: of every sound picture.
        bad: name and reason of each that cannot be decoded.
    """

    count: int
    held_out: int
    classes: dict[str, int]
    formats: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    widths: list[int] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)

    @property
    def sizes(self) -> str:
        """The sizes in words: ``32x32``, or ``from 200x150 to 640x480, median 500x375``."""
        if not self.widths:
            return "none could be read"
        pairs = sorted(zip(self.widths, self.heights, strict=True), key=lambda wh: wh[0] * wh[1])
        if pairs[0] == pairs[-1] and len(set(pairs)) == 1:
            return "{}x{}".format(*pairs[0])
        middle = f"{median(self.widths):g}x{median(self.heights):g}"
        return "from {}x{} to {}x{}, median ".format(*pairs[0], *pairs[-1]) + middle


def inspect(paths: Sequence[str | Path], progress: Progress) -> tuple[Pictures, Inspection]:
    """Decode every picture of a set, and say what there is.

    Raises:
        TrainingError: a path cannot be read, or there is no picture in all of them.
    """
    pictures = Pictures(paths, split="all", flag="")
    count = len(pictures)
    per_class = Counter(pictures.labels.tolist())
    names = map(pictures.name, range(count))
    found = Inspection(
        count,
        sum(map(held_out, names)),
        {name: per_class[i] for i, name in enumerate(pictures.classes)},
    )

    def look(index: int) -> tuple[str, str, int, int] | str:
        try:
            with pictures.image(index) as image:
                facts = (image.format or "?", image.mode, image.width, image.height)
                image.load()
                return facts
        except Exception as e:  # decoders raise nearly anything on damaged files
            return explain(e)

    pool = ThreadPoolExecutor(cores())
    try:
        looks = pool.map(look, range(count))
        for index in progress.track(range(count), "reading pictures"):
            facts = next(looks)
            if isinstance(facts, str):
                found.bad[pictures.full_name(index)] = facts
                continue
            found.formats[facts[0]] += 1
            found.modes[facts[1]] += 1
            found.widths.append(facts[2])
            found.heights.append(facts[3])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return pictures, found


def contact_sheet(pictures: Pictures, bad: Sequence[str], count: int = 64, side: int = 96) -> Grid:
    """Some pictures of a set, evenly chosen, each scaled to fit a square of ``side`` pixels."""
    damaged = set(bad)
    sound = [i for i in range(len(pictures)) if pictures.full_name(i) not in damaged]
    count = min(count, len(sound))
    chosen = [sound[k * len(sound) // count] for k in range(count)]
    return Grid([resize(pictures.pixels(i).float() / 255, side) for i in chosen])
