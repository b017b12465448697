"""The GAN: samples a second, samples for a judge, and figures of its own.

python benchmarks/gan.py speed [--weights RUN|FILE ...]
python benchmarks/gan.py samples --weights RUN|FILE ... -o DIR [--n 10000] [--seeds 3]
    writes DIR/NAME-SEED.npy, uint8 (N,H,W,3), for a judge that takes such arrays
python benchmarks/gan.py figures --weights RUN|FILE ... --data ARCHIVE [-o DIR] [--n 5000]
    distance, precision, recall and duplicates in a random network's features, the floor beside
    them, and, with -o, a sheet of samples each above the nearest training pictures

Without --weights: the packaged set. Pictures made here stay out of the repository.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

import gentool
from gentool.artifacts import Grid, Image
from gentool.compute import choose
from gentool.progress import Progress
from gentool.training import Fit, Pictures, Plan, Setup
from gentool.training.data.cache import keep_decoded
from gentool_gan.actions import BATCH, generate
from gentool_gan.latents import draw
from gentool_gan.metrics import Judge
from gentool_gan.nets import GAN, Config, dcgan_config


def load(path, seed=0):
    """A run, a file or None for the packaged set, ready to sample."""
    return gentool.load("gan", weights=path, seed=seed, device="cpu")


def name(path):
    """RUN, or RUN-FILE: the files of all runs have the same names."""
    if path is None:
        return "packaged"
    place = Path(path).resolve()
    return f"{place.parent.name}-{place.stem}" if place.is_file() else place.name


def pictures(gan, count):
    """Pictures (N,3,S,S) in 0..1, as `gentool run gan --n COUNT` draws them; their classes (N,),
    or None for weights without."""
    context, model, made, classes = gan.context(), gan.model, [], []
    with torch.inference_mode():
        for start in range(0, count, BATCH):
            numbers = range(start, min(start + BATCH, count))
            drawn = [draw(model, context, k) for k in numbers]
            latents = torch.stack([latent for latent, _ in drawn])
            labels = torch.tensor([label for _, label in drawn])
            made += generate(model, latents, labels, context)
            classes.append(labels)
    return torch.stack(made), torch.cat(classes) if model.config.classes else None


def speed(arguments):
    """Samples a second at batch 64: each network in turn, best quarter of the batches."""
    nets = {"dcgan preset": GAN(dcgan_config(32)), "residual preset": GAN(Config())}
    nets |= {name(path): load(path).model for path in arguments.weights}
    inputs = {}
    for key, model in nets.items():
        model.eval().to(memory_format=torch.channels_last)
        classes = max(1, len(model.config.classes))
        latents = torch.randn(BATCH, model.config.latent)
        inputs[key] = latents, torch.arange(BATCH) % classes
    taken = {key: [] for key in nets}
    with torch.inference_mode():
        for _ in range(arguments.rounds):
            for key, model in nets.items():  # in turn: a machine drifts
                begun = time.perf_counter()
                model(*inputs[key])
                taken[key].append(time.perf_counter() - begun)
    for key, seconds in taken.items():
        rate = BATCH / sorted(seconds)[len(seconds) // 4]
        millions = sum(p.numel() for p in nets[key].parameters()) / 1e6
        threads = torch.get_num_threads()
        print(f"{key}: {millions:.2f} M parameters, {rate:.0f} samples/s, {threads} threads, fp32")


def samples(arguments):
    arguments.output.mkdir(parents=True, exist_ok=True)
    for path in arguments.weights:
        for seed in range(arguments.seeds):
            made, _ = pictures(load(path, seed), arguments.n)
            pixels = made.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
            target = arguments.output / f"{name(path)}-{seed}.npy"
            np.save(target, pixels)
            print(target)


def figures(arguments):
    judge, setup = Judge(torch.device("cpu")), Setup(Plan(), choose("cpu", "fp32"))
    for path in arguments.weights:
        gan = load(path)
        size = gan.model.config.size
        real = Pictures([arguments.data], prepare=Fit(size), flip=False, split="all")
        keep_decoded(real, setup.device, "ram", Progress())
        count = min(arguments.n, len(real) // 2)
        both = real.sample(2 * count, setup)
        first, second = judge.embed(both[:count]), judge.embed(both[count:])
        made, _ = pictures(gan, count)
        found = judge.embed(made)
        for key, other in (("floor (real)", second), (name(path), found)):
            values = judge.compare(first, other)
            shown = "  ".join(f"{n} {v:.3f}" for n, v in values.items())
            print(f"{key}  n={count}  {shown}")
        if arguments.output:
            arguments.output.mkdir(parents=True, exist_ok=True)
            sheet(judge, real, setup, made[:10], found[:10], arguments.output / f"{name(path)}.png")


def sheet(judge, real, setup, made, found, target):
    """Samples in the first row; below each the five training pictures nearest to it."""
    everything = real.sample(len(real), setup)
    nearest = torch.cdist(found, judge.embed(everything)).topk(5, largest=False).indices
    rows = [*made, *(everything[index] for index in nearest.T.flatten())]
    print(Image(Grid(rows, columns=len(made), gap=2).tensor).save(target))


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for function in (speed, samples, figures):
        command = commands.add_parser(function.__name__)
        command.set_defaults(function=function)
        command.add_argument("--weights", nargs="+", default=[None])
        command.add_argument("--threads", type=int)
        if function is speed:
            command.add_argument("--rounds", type=int, default=60)
        else:
            needed = function is samples
            command.add_argument("-o", "--output", type=Path, required=needed)
            command.add_argument("--n", type=int, default=10_000 if needed else 5000)
        if function is samples:
            command.add_argument("--seeds", type=int, default=3)
        if function is figures:
            command.add_argument("--data", required=True)
    arguments = parser.parse_args()
    names = [name(path) for path in arguments.weights]
    if len(set(names)) < len(names):
        parser.error(f"--weights: two would be called the same: {' '.join(names)}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.function(arguments)


if __name__ == "__main__":
    main()
