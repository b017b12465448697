"""What ``gentool run gan`` does."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool import Context, GentoolError, UsageError
from gentool.artifacts import Animation, Grid, Image, check_size
from gentool.compute import exactly
from gentool.images import to_size
from gentool_gan.latents import class_numbers, draw, unpack, walk
from gentool_gan.nets import GAN
from gentool_gan.options import InterpolateOptions, SampleOptions

BATCH = 64


def sample(model: GAN, options: SampleOptions, context: Context) -> Iterator[Image | Grid]:
    """Yield new pictures, one by one or on one sheet."""
    latents, labels = _chosen(model, options, context)
    if options.grid:
        side = model.config.size * options.upscale
        check_size(len(latents), side, side, "--n")
    made: list[Tensor] = []
    parts = range(0, len(latents), BATCH)
    for start in context.each(parts, "sample"):
        part = slice(start, start + BATCH)
        pictures = generate(model, latents[part], labels[part], context, options.upscale)
        if options.grid:
            made += pictures
            continue
        for number, picture in enumerate(pictures, start):
            yield Image(picture, name=_name(model, labels[number], number))
    if options.grid:
        yield Grid(made, columns=min(options.grid, len(made)), gap=options.upscale, name="samples")


def interpolate(model: GAN, options: InterpolateOptions, context: Context) -> Iterator[Animation]:
    """Yield one walk through latent space that ends where it began."""
    latents, labels = _chosen(model, options, context)
    if len(latents) < 2:
        raise GentoolError("--latents: two or more to walk between, got 1")
    side = model.config.size * options.upscale
    check_size(len(latents) * options.steps, side, side, "--n and --steps")
    path = walk(latents, options.steps)
    shares: Tensor | None = None
    if model.config.classes:
        # one-hot rows, so that a walk from class to class passes through mixtures of both
        corners = F.one_hot(labels, len(model.config.classes)).float()
        legs = zip(corners, corners.roll(-1, 0), strict=True)
        steps = [i / options.steps for i in range(options.steps)]
        shares = torch.stack([torch.lerp(a, b, s) for a, b in legs for s in steps])
    frames: list[Tensor] = []
    parts = range(0, len(path), BATCH)
    for start in context.each(parts, "interpolate"):
        part = slice(start, start + BATCH)
        mixed = labels[part] if shares is None else shares[part]
        frames += generate(model, path[part], mixed, context, options.upscale)
    yield Animation(frames, options.fps, name="walk")


def generate(
    model: GAN, latents: Tensor, labels: Tensor, context: Context, upscale: int = 1
) -> Iterator[Tensor]:
    """Pictures on the CPU, each (3,S,S) in 0..1, of latents (N,L).

    Args:
        model: the generator.
        latents: on the CPU.
        labels: (N,) numbers of classes, or (N,classes) shares of each; ignored without classes.
        context: gives the device.
        upscale: enlarge so many times, bicubic.
    """
    # whatever the precision: a seed's picture is the same on every device
    with exactly():
        pictures = model(latents.to(context.device), labels.to(context.device))
    side = pictures.shape[-1] * upscale
    for picture in pictures.clamp(0, 1).cpu():
        yield to_size(picture, (side, side))  # one at a time: enlarged, they take gigabytes


def _chosen(
    model: GAN, options: SampleOptions | InterpolateOptions, context: Context
) -> tuple[Tensor, Tensor]:
    """Latents (N,L) and labels (N,): of files or drawn; --label counts before what they have."""
    named = class_numbers(model, options.label)
    if options.latents:
        found = unpack(model, options.latents, context, keep_classes=not named)
        if len(found) < len(named):
            raise UsageError(f"--label: {len(named)} for {len(found)} of --latents; name fewer")
    else:
        found = [draw(model, context, k) for k in range(options.count)]
    latents = torch.stack([latent for latent, _ in found])
    labels = [named[k % len(named)] if named else label for k, (_, label) in enumerate(found)]
    return latents * options.truncation, torch.tensor(labels)


def _name(model: GAN, label: Tensor, number: int) -> str:
    classes = model.config.classes
    return f"{classes[int(label)]}-{number:04}" if classes else f"sample-{number:04}"
