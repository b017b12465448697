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
from gentool.latents import check_finite
from gentool_gan.latents import class_numbers, draw, unpack, walk
from gentool_gan.nets import GAN
from gentool_gan.options import InterpolateOptions, SampleOptions

BATCH = 64


def sample(model: GAN, options: SampleOptions, context: Context) -> Iterator[Image | Grid]:
    """Yield new pictures, one by one or on one sheet."""
    latents, labels = _chosen(model, options, context)
    if options.grid:
        side = model.config.size * options.upscale
        check_size(len(latents), side, side, options.counted_by)
    pictures = _in_parts(model, latents, labels, context, options.upscale, "sample")
    if options.grid:
        columns = min(options.grid, len(latents))
        yield Grid([*pictures], columns=columns, gap=options.upscale, name="samples")
        return
    for k, picture in enumerate(pictures):
        word = "sample" if labels is None else model.config.classes[int(labels[k])]
        yield Image(picture, name=f"{word}-{options.first + k:04}")


def interpolate(model: GAN, options: InterpolateOptions, context: Context) -> Iterator[Animation]:
    """Yield one walk through latent space that ends where it began."""
    latents, labels = _chosen(model, options, context)
    if len(latents) < 2:
        raise GentoolError("--latents: two or more to walk between, got 1")
    side = model.config.size * options.upscale
    check_size(len(latents) * options.steps, side, side, f"{options.counted_by} and --steps")
    path, shares = walk(latents, options.steps), None
    if labels is not None:
        # one-hot rows, so that a walk from class to class passes through mixtures of both
        corners = F.one_hot(labels, len(model.config.classes)).float()
        shares = walk(corners, options.steps, torch.lerp)
    frames = _in_parts(model, path, shares, context, options.upscale, "interpolate")
    yield Animation([*frames], options.fps, name="walk")


def generate(
    model: GAN, latents: Tensor, labels: Tensor | None, context: Context, upscale: int = 1
) -> Iterator[Tensor]:
    """Pictures on the CPU, each (3,S,S) in 0..1, of latents (N,L).

    Args:
        model: the generator.
        latents: they may lie on any device.
        labels: (N,) numbers of classes, or (N,classes) shares of each; None without classes.
        context: gives the device.
        upscale: enlarge so many times, bicubic.

    Raises:
        GentoolError: a latent or a weight is so large, or no number, that no picture comes of it.
    """
    latents = latents.to(context.device)
    labels = None if labels is None else labels.to(context.device)
    # whatever the precision: a seed's picture is the same on every device
    with exactly():
        pictures = model(latents, labels)
    check_finite(pictures)
    side = pictures.shape[-1] * upscale
    for picture in pictures.clamp(0, 1).cpu():
        yield to_size(picture, (side, side))  # one at a time: enlarged, they take gigabytes


def _in_parts(
    model: GAN, latents: Tensor, labels: Tensor | None, context: Context, upscale: int, what: str
) -> Iterator[Tensor]:
    """:func:`generate`, so many at once as memory holds, under a progress bar."""
    for start in context.each(range(0, len(latents), BATCH), what):
        part = slice(start, start + BATCH)
        own = None if labels is None else labels[part]
        yield from generate(model, latents[part], own, context, upscale)


def _chosen(
    model: GAN, options: SampleOptions | InterpolateOptions, context: Context
) -> tuple[Tensor, Tensor | None]:
    """Latents (N,L), of files or drawn, and labels (N,), or None without classes.

    --label counts before the classes that files have or that were drawn.
    """
    named = class_numbers(model, options.label)
    numbers = options.numbers
    if options.latents:
        found = unpack(model, options.latents, context, keep_classes=not named)
        if len(found) < len(named):
            raise UsageError(f"--label: {len(named)} for {len(found)} of --latents; name fewer")
    else:
        found = [draw(model, context, k) for k in numbers]
    latents = torch.stack([latent for latent, _ in found]) * options.truncation
    if not model.config.classes:
        return latents, None
    # by the number, so that a picture's class is the same whichever is the first
    turns = zip(range(len(found)) if options.latents else numbers, found, strict=True)
    labels = [named[k % len(named)] if named else label for k, (_, label) in turns]
    return latents, torch.tensor(labels)
