"""The VAE against a plain one: samples for a judge, PSNR, bits a value, copies of the training set.

    python benchmarks/plain_vae.py --data cifar10.tar.xz:train/ -o runs/plain
    python benchmarks/vae.py --weights runs/vae --plain runs/plain --test cifar10.tar.xz:test/
        --train cifar10.tar.xz:train/ [--judge feature_distance.py] [-n 10000] [-o out/vae]

judge     see benchmarks/judge.py; run once on the samples of both, so that both distances come
          from one run. Beside them `posterior`: test pictures encoded, sampled from the posterior,
          decoded with detail, which is what the best prior could reach. Its distance over the floor
          is the share of the detail network and of 128 numbers, the rest that of the prior
PSNR      mean over the test pictures, decoded from the mean of the posterior
bits/dim  the evidence lower bound with one draw a picture. The VAE's likelihood is its logistic
          with a scale for each value; the plain one's a Gaussian with the deviation that is best on
          the test set itself, in its favour; both discretised to bytes
copies    of the first 1000 samples, the distance to the nearest training picture, over that of
          test pictures, as root mean square error: well below 1 would be memory. Near-duplicates
          are samples nearer to one another than any of 1000 test pictures is to another

Sheets: NAME.png, the first 64 samples; NAME-nearest.png, those nearest to a training picture,
above it.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from judge import judge
from plain_vae import PlainVAE

from gentool import weights
from gentool.artifacts import Grid
from gentool.compute import choose
from gentool.context import Context
from gentool.similarity import psnr
from gentool.training import Fit, Pictures, Plan, Setup
from gentool_vae.actions import new
from gentool_vae.likelihood import BIN, bits_per_dimension, divergence, negative_bound
from gentool_vae.nets import VAE
from gentool_vae.options import SampleOptions
from gentool_vae.pictures import TOGETHER, draw

COMPARED = 1000


def load_pictures(where, size, count, setup):
    pictures = Pictures([where], flip=False, split="all", prepare=Fit(size))
    return pictures.sample(min(count, len(pictures)), setup).cpu()


def in_parts(function, pictures):
    return [function(part) for part in torch.split(pictures, TOGETHER)]


def joined(parts):
    return type(parts[0])(*(torch.cat(each) for each in zip(*parts, strict=True)))


def gaussian_bits(mean, pictures):
    """Nats of bytes under a Gaussian of the deviation that is best for all of them."""
    deviation = (mean - pictures).square().mean().sqrt()

    def below(edge):
        return torch.special.ndtr((edge - mean).double() / deviation)

    upper = torch.where(pictures > 1 - BIN / 2, 1.0, below(pictures + BIN / 2))
    lower = torch.where(pictures < BIN / 2, 0.0, below(pictures - BIN / 2))
    return -(upper - lower).clamp_min(1e-12).log().flatten(1).sum(1)


def plain(model, count, test, context):
    posterior = joined(in_parts(model.encode, test))
    decode = lambda latents: torch.cat(in_parts(model.decoder, latents)).clamp(0, 1)  # noqa: E731
    nats = gaussian_bits(decode(posterior.sample()), test) + divergence(*posterior).sum(1)
    generators = (context.generator(k) for k in range(count))
    drawn = torch.stack([torch.randn(128, generator=g) for g in generators])
    return decode(drawn), decode(posterior.mean), nats


def ours(model, count, test, context):
    posterior = joined(in_parts(model.encode, test))
    options = SampleOptions(n=count)
    samples = torch.stack([*new(model, range(count), options, context)])
    again = torch.stack([*draw(model, posterior.mean, context, 0.0, context.generator)])
    decoded = joined(in_parts(model.decode, posterior.sample()))
    return samples, again, negative_bound(decoded, posterior, test)


def from_posterior(model, test, context):
    """What samples would be if the prior were exact: test pictures' latents, with detail."""
    latents = joined(in_parts(model.encode, test)).sample()
    return torch.stack([*draw(model, latents, context, 1.0, context.generator)])


def nearest(queries, among):
    """Root mean square error to the nearest of a set, and its number."""
    values = queries[0].numel()
    found = [torch.cdist(q, among.flatten(1)).min(1) for q in queries.flatten(1).split(250)]
    distances = torch.cat([f.values for f in found]) / values**0.5
    return distances, torch.cat([f.indices for f in found])


def among_themselves(pictures):
    flat = pictures.flatten(1)
    distances = torch.cdist(flat, flat).fill_diagonal_(torch.inf) / flat.shape[1] ** 0.5
    return distances.min(1).values


@torch.no_grad()
def measure(net, count, test, train, context):
    """Samples (count,3,S,S) of a network and its figures."""
    run = plain if isinstance(net, PlainVAE) else ours
    samples, again, nats = run(net, count, test, context)
    distance = nearest(samples[:COMPARED], train)[0].mean()
    twins = among_themselves(samples[:COMPARED]) < among_themselves(test[:COMPARED]).min()
    figures = {
        "latents": net.encode(test[:1]).mean.shape[1],
        "parameters": sum(p.numel() for n in net.networks.values() for p in n.parameters()),
        "PSNR": psnr(again, test).mean(),
        "bits/dim": bits_per_dimension(nats, test).mean(),
        "copies": distance / nearest(test[:COMPARED], train)[0].mean(),
        "near-duplicates": twins.float().mean(),
    }
    return samples, {key: float(value) for key, value in figures.items()}


def keep(samples, train, path):
    """Samples as PATH.npy for a judge, as PATH.png, and those nearest to a training picture."""
    distance, number = nearest(samples[:COMPARED], train)
    order = distance.argsort()[:16]
    near = Grid([*samples[order], *train[number[order]]], columns=16)
    near.save(path.with_name(f"{path.name}-nearest.png"))
    Grid([*samples[:64]], columns=8).save(path.with_suffix(".png"))
    rows = samples.mul(255).round().byte().permute(0, 2, 3, 1)
    np.save(path.with_suffix(".npy"), rows.contiguous().numpy())
    return path.with_suffix(".npy")


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument("--plain", type=Path)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--judge", type=Path)
    parser.add_argument("-n", type=int, default=10_000)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/vae"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    a = parser.parse_args()
    a.output.mkdir(parents=True, exist_ok=True)
    compute = choose("cpu", "fp32", a.threads)
    torch.manual_seed(a.seed)
    context, setup = Context(compute, a.seed), Setup(Plan(), compute)
    model = weights.load(VAE, file_of(a.weights), "vae")
    size = model.config.size
    test = load_pictures(a.test, size, a.n, setup)
    train = load_pictures(a.train, size, 10**9, setup)
    runs = {"vae": model}
    if a.plain:
        runs = {"plain": weights.load(PlainVAE, file_of(a.plain))} | runs
    files = {}
    for name, net in runs.items():
        samples, figures = measure(net, a.n, test, train, context)
        files[name] = keep(samples, train, a.output / name)
        print(f"{name:6}", *(f"{key} {value:.4g}" for key, value in figures.items()))
    if a.judge:
        files["posterior"] = keep(
            from_posterior(model, test, context), train, a.output / "posterior"
        )
        for name, figures in judge(a.judge, a.train, files, a.n).items():
            print(f"{name:6}", *(f"{key} {value:.4g}" for key, value in figures.items()))


def file_of(path):
    return path / "weights.safetensors" if path.is_dir() else path


if __name__ == "__main__":
    main()
