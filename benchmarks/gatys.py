"""Gatys: CPU seconds to the loss that the standard recipe reaches, over the seconds that it takes.

    python benchmarks/gatys.py --teacher vgg19.safetensors vgg19_distilled.safetensors
        [--content PICTURE] [--style PICTURE] [--size 512] [--evaluations 300] [--timed 6]
        [--features perceptual] [--most 150] [--known-loss L] [-o out/]

loss      L = mean over relu1_1 ... relu5_1 of |G - G_style|^2 / |G_style|^2
              + 0.05 |F - F_content|^2 / |F_content|^2 at relu4_1,
          in the teacher's features (each layer from the first file that has it), always of the
          picture clamped to 0..1 and rounded to 8 bits
baseline  one size, L-BFGS over pixels (PyTorch's, history 100) from the content, so many
          evaluations. What it reaches is found with the teacher; what it takes is timed with a
          full-width VGG-19 to relu5_1 (random weights), on --timed evaluations, and scaled
gatys     `gentool run gatys --tv-weight 0` with the features named (default: the teacher), from
          nothing loaded to the first picture with that loss; measuring the loss is not counted

Times are CPU seconds of the process, which other programs disturb less than the clock on the wall.
"""

import argparse
import itertools
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from measure import ROOT

import gentool
from gentool.artifacts import Image
from gentool.images import read, resize
from gentool_gatys import painting
from gentool_gatys.objective import Objective, Region, Seen, Weights
from gentool_gatys.options import LAYERS
from gentool_perceptual.features import Features

WEIGHTS = Weights({"relu4_1": 1.0}, dict.fromkeys(LAYERS, 1 / 5), 0.05, 1.0)
WIDTHS = [3, 64, 64, 128, 128, *[256] * 4, *[512] * 5]  # VGG-19 to relu5_1
POOLED, NAMED = (2, 4, 8, 12), (0, 2, 4, 8, 12)


class FullWidth(torch.nn.Module):
    """VGG-19 to relu5_1 with random weights, for its time."""

    def __init__(self):
        super().__init__()
        pairs = itertools.pairwise(WIDTHS)
        self.convs = torch.nn.ModuleList(torch.nn.Conv2d(i, o, 3, padding=1) for i, o in pairs)
        self.requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, x):
        found, names = {}, iter(LAYERS)
        for i, conv in enumerate(self.convs):
            x = F.relu(conv(F.max_pool2d(x, 2) if i in POOLED else x))
            if i in NAMED:
                found[next(names)] = x
        return found


def objective(features, content, style, compute):
    seen = Seen(features, compute)
    return Objective(seen, content, [Region(seen.grams(style, LAYERS))], WEIGHTS)


def eight_bit(picture):
    return picture.detach().clamp(0, 1).mul(255).round().div(255)


def baseline(judge, content, evaluations, folder):
    """Loss of the picture after so many evaluations, and the least on the way."""
    pixels = content.clone().contiguous().requires_grad_()
    done, least = 0, math.inf

    def closure():
        nonlocal done, least
        if done % 20 == 0:
            reached = judge.terms(eight_bit(pixels))["total"]
            least = min(least, reached)
            print(f"  baseline {done:4d} evaluations: {reached:.5f}", flush=True)
        terms, gradient = judge(pixels.detach())
        pixels.grad = (1e4 * gradient).contiguous()  # PyTorch's thresholds are absolute
        done += 1
        return 1e4 * terms["total"]

    torch.optim.LBFGS(
        [pixels], max_iter=10**6, max_eval=evaluations, history_size=100,
        tolerance_grad=0, tolerance_change=0,
    ).step(closure)  # fmt: skip
    Image(eight_bit(pixels)[0]).save(folder / "baseline.png")
    reached = judge.terms(eight_bit(pixels))["total"]
    return reached, min(least, reached)


def seconds_each(function, times):
    function()
    start = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - start) / times


def gatys(judge, targets, words, content, style, size, most, folder):
    """Print and give the seconds to each target; None where it was not reached."""
    start = time.process_time()
    method = gentool.load("gatys", precision="fp32", seed=0)
    options = method.options(
        content=content,
        style=style,
        features=words,
        content_size=size,
        steps=most,
        tolerance=0.0,
        tv_weight=0.0,
    )
    context, pixels = method.context(), resize(read(content).pixels, size)
    pictures = painting.Pictures(pixels, [read(style).pixels], [])
    features = painting.load_features(options, context)
    run = painting.start(pictures, features, size, None, options, context)
    spent, found = time.process_time() - start, {}
    while not run.finished and len(found) < len(targets):
        start = time.process_time()
        run.advance(1)
        spent += time.process_time() - start
        reached = judge.terms(eight_bit(run.picture))["total"]
        if len(run.curve) % 10 == 0:
            print(
                f"  gatys {len(run.curve):4d} evaluations, {spent:.1f} s: {reached:.5f}", flush=True
            )
        for name, target in targets.items():
            if reached <= target and name not in found:
                found[name] = (spent, len(run.curve), reached)
                Image(eight_bit(run.picture)[0]).save(folder / f"gatys-{name}.png")
    Image(eight_bit(run.picture)[0]).save(folder / "gatys-last.png")
    return found


def compare(a):
    """The whole measurement; shares of the baseline's time by target, None where not reached."""
    a.output.mkdir(exist_ok=True, parents=True)
    compute = gentool.load("gatys", precision="fp32").compute
    content, style = (resize(read(p).pixels, a.size)[None] for p in (a.content, a.style))
    judge = objective(Features.load(a.teacher, LAYERS), content, style, compute)
    if a.known_loss:
        end, least = a.known_loss[0], a.known_loss[-1]
        print(f"baseline: L = {end:.5f}, {least:.5f} at its best, as given")
    else:
        end, least = baseline(judge, content, a.evaluations, a.output)
        print(f"baseline: L = {end:.5f} after {a.evaluations} evaluations, {least:.5f} at its best")
    full = objective(FullWidth(), content, style, compute)
    each = seconds_each(lambda: full(content), a.timed)
    whole = each * a.evaluations
    print(
        f"baseline: {each:.2f} CPU s an evaluation at {content.shape[3]} x {content.shape[2]}, "
        f"{torch.get_num_threads()} threads, mean of {a.timed}; "
        f"{whole:.0f} CPU s for {a.evaluations}"
    )
    targets = {"end": end, "best": least}
    found = gatys(
        judge, targets, a.features or a.teacher, a.content, a.style, a.size, a.most, a.output
    )
    for name, target in targets.items():
        if name in found:
            spent, evaluations, reached = found[name]
            print(
                f"gatys: L = {reached:.5f} <= {target:.5f} (baseline's {name}) after {evaluations} "
                f"evaluations, {spent:.1f} CPU s: 1/{whole / spent:.1f} of the baseline's time"
            )
        else:
            print(f"gatys: L = {target:.5f} (baseline's {name}) not reached")
    return {name: found[name][0] / whole if name in found else None for name in targets}


def parser():
    described = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    described.add_argument("--teacher", nargs="+", required=True)
    described.add_argument("--content", default=str(ROOT / "examples/landscape.jpg"))
    described.add_argument("--style", default=str(ROOT / "examples/mosaic.jpg"))
    described.add_argument("--size", type=int, default=512)
    described.add_argument("--evaluations", type=int, default=300)
    described.add_argument("--timed", type=int, default=6)
    described.add_argument("--features", nargs="+")
    described.add_argument("--most", type=int, default=150)
    described.add_argument(
        "--known-loss", type=float, nargs="+", help="of the baseline, from a run before"
    )
    described.add_argument("-o", "--output", type=Path, default=ROOT / "out")
    return described


if __name__ == "__main__":
    compare(parser().parse_args())
