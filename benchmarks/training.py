"""What the training engine costs, and whether it survives kills.

    python benchmarks/training.py [--only overhead|loader|kills] [--device auto]

overhead  the same DCGAN step (32x32, batch 64) under the engine and in a bare loop, in turns
loader    pictures a second, cache off and on, against decoding with Pillow in one process
kills     20 trainings killed at random moments and resumed, compared with the uninterrupted one

How much of the device a recipe uses is told by `gentool train ... --profile`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from dcgan import Adversaries, DCGANTrainer

from gentool.compute import choose
from gentool.progress import Progress
from gentool.training import Display, Group, Pictures, Plan, ScaleCrop, Setup, fit
from gentool.training.data.cache import keep_decoded
from gentool.training.data.feed import Feed
from gentool.training.data.order import Order

BATCH = 64


class Stopwatch(Display):
    """When each step ended, by a clock."""

    def __init__(self, clock):
        self.clock, self.ends = clock, []

    def step(self, done, share, left):
        self.ends.append(self.clock())


def noise_pictures(folder: Path, count: int, size: tuple[int, int], suffix: str) -> Path:
    """Photograph-like pictures: smooth noise, so that files have a photograph's size."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(count):
        small = rng.integers(0, 256, (size[1] // 8 + 2, size[0] // 8 + 2, 3), dtype=np.uint8)
        image = PIL.Image.fromarray(small).resize(size, PIL.Image.Resampling.BICUBIC)
        grain = rng.normal(0, 6, (size[1], size[0], 3))
        pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{i:05}{suffix}", quality=75)
    return folder


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def overhead(device: str, steps: int = 20, rounds: int = 7) -> None:
    compute = choose(device)
    # processor time where the processor computes: other programs do not disturb it
    clock = time.process_time if compute.device.type == "cpu" else time.perf_counter
    with tempfile.TemporaryDirectory() as place:
        folder = noise_pictures(Path(place, "data"), 512, (32, 32), ".jpg")
        ratios = []
        for turn in range(rounds):
            pictures = Pictures([folder], split="all")
            plan = Plan(batch_size=BATCH, steps=steps, preview_every=0, checkpoint_every=0)
            setup = Setup(plan, compute)
            watch = Stopwatch(clock)
            fit(DCGANTrainer(setup, pictures), setup, Path(place, f"{turn}"), "d", display=watch)
            engine = (watch.ends[-1] - watch.ends[4]) / (steps - 5)
            bare = bare_loop(setup, pictures, steps, clock)
            ratios.append(engine / bare)
            print(f"  engine {engine * 1e3:.2f} ms, bare loop {bare * 1e3:.2f} ms a step")
    print(
        f"overhead: {statistics.median(ratios) - 1:+.1%} (median of {rounds} turns of {steps} "
        f"steps by {clock.__name__}, DCGAN, batch {BATCH}, {compute.device}, {compute.precision}, "
        f"{torch.get_num_threads()} threads)"
    )


def bare_loop(setup: Setup, pictures: Pictures, steps: int, clock: Callable[[], float]) -> float:
    """Seconds a step of a loop that someone writes by hand: no averages, checks or clipping."""
    nets = Adversaries(setup.place, setup.autocast)
    keep_decoded(pictures, setup.device, setup.plan.cache, Progress())
    block = torch.stack([pictures.pixels(i) for i in range(len(pictures))])
    losses = (nets.discriminator_loss, nets.generator_loss)
    for step in range(steps):
        if step == 5:
            synchronize(setup.device)
            begun = clock()
        chosen = torch.randint(len(block), (BATCH,))
        batch = block[chosen].to(setup.device).float() / 255
        flipped = torch.rand(BATCH, 1, 1, 1, device=setup.device) < 0.5
        batch = torch.where(flipped, batch.flip(-1), batch)
        batch = batch.contiguous(memory_format=torch.channels_last)
        for number, (optimizer, loss) in enumerate(zip(nets.optimizers, losses, strict=True)):
            nets.discriminator.requires_grad_(number == 0)
            optimizer.zero_grad()
            loss(batch).backward()
            optimizer.step()
    synchronize(setup.device)
    return (clock() - begun) / (steps - 5)


def loader(workers: int = 2, seconds: float = 4.0) -> None:
    torch.set_num_threads(1)
    cases = (
        ("32 px JPEG, whole", (32, 32), ".jpg", None, 128, 4000),
        ("256 px crops of 360x288 WebP", (360, 288), ".webp", ScaleCrop(256, (358, 742)), 16, 300),
        ("256 px crops of 480x360 JPEG", (480, 360), ".jpg", ScaleCrop(256, (358, 742)), 16, 300),
    )
    for name, size, suffix, crop, batch, count in cases:
        with tempfile.TemporaryDirectory() as place:
            folder = noise_pictures(Path(place, "data"), count, size, suffix)
            pack = Path(place, "pack.tar.gz")
            with tarfile.open(pack, "w:gz") as archive:
                archive.add(folder, ".")
            base = decode_alone(folder, seconds)
            same = decode_alone(folder, seconds, crop) if crop else base
            for cached in (False, True):
                pictures = Pictures([pack], crop, split="all")
                if cached:
                    keep_decoded(pictures, torch.device("cpu"), "ram", Progress())
                rate, number = loaded(pictures, batch, workers, seconds)
                print(
                    f"loader, {name}, cache {'on' if cached else 'off'}: {rate:,.0f} pictures/s "
                    f"({number} workers, batch {batch}), {rate / base:.2f} of Pillow's {base:,.0f} "
                    f"in one process, {rate / same:.2f} of its {same:,.0f} with the crop"
                )


def loaded(pictures: Pictures, batch: int, workers: int, seconds: float) -> tuple[float, int]:
    """Pictures a second of the loader, as bytes, and how many workers it had."""
    number = 0 if pictures.ready else workers
    order = Order(len(pictures), batch, 1, Group(), 0)
    feed = Feed(pictures, order, number, torch.device("cpu"), torch.channels_last)
    for _ in range(8):
        feed.fetch()
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        done += len(feed.fetch())
    feed.close()
    return done / (time.perf_counter() - begun), number


def decode_alone(folder: Path, seconds: float, crop: ScaleCrop | None = None) -> float:
    """Pictures a second of Pillow in one process, files read beforehand; cropped or not."""
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        image = PIL.Image.open(io.BytesIO(files[done % len(files)])).convert("RGB")
        if crop:
            box = crop.make_params([torch.empty(0, image.height, image.width)])
            right, bottom = box["left"] + box["width"], box["top"] + box["height"]
            bilinear, size = PIL.Image.Resampling.BILINEAR, (crop.size, crop.size)
            image = image.resize(size, bilinear, box=(box["left"], box["top"], right, bottom))
        np.asarray(image)
        done += 1
    return done / (time.perf_counter() - begun)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import tiny
tiny.train(Path({run!r}), tiny.TinyTrainer(pause=0.01), steps=100, resume={resume})
"""


def kills(count: int = 20) -> None:
    """Trainings are killed at a random moment, resumed, perhaps killed again, then finished."""
    tests = str(Path(__file__).parent.parent / "tests")
    rng = random.Random(0)

    def start(run: Path) -> subprocess.Popen[bytes]:
        resume = bool(list(run.glob("checkpoints/*.safetensors")))
        code = KILLED.format(tests=tests, run=str(run), resume=resume)
        return subprocess.Popen([sys.executable, "-c", code])

    def lines(run: Path) -> str:
        log = run / "metrics.jsonl"
        return log.read_text(encoding="utf-8") if log.exists() else ""

    def curve(run: Path) -> list[dict[str, float]]:
        return [json.loads(line)["terms"] for line in lines(run).splitlines()]

    with tempfile.TemporaryDirectory() as place:
        whole, run = Path(place, "whole"), Path(place, "run")
        start(whole).wait()
        killed = equal = 0
        while killed < count:
            before = lines(run)
            process = start(run)
            while process.poll() is None and lines(run) == before:
                time.sleep(0.005)
            try:
                process.wait(rng.uniform(0.0, 0.6))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
                continue
            equal += curve(run) == curve(whole)  # it came to its end between two kills
            run = Path(place, f"run{killed}")
        start(run).wait()
        equal += curve(run) == curve(whole)
        ended = len(list(Path(place).iterdir())) - 1
    print(
        f"kills: {killed} kills, {equal} of {ended} curves equal the uninterrupted one bit for bit"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("overhead", "loader", "kills"))
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    if arguments.only in (None, "overhead"):
        overhead(arguments.device)
    if arguments.only in (None, "loader"):
        loader()
    if arguments.only in (None, "kills"):
        kills()


if __name__ == "__main__":
    main()
