"""Between the user's pictures and the networks: squares in, drawn pictures out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gentool import Context
from gentool.images import name_of, square
from gentool_vae.nets import VAE, Posterior

if TYPE_CHECKING:
    from gentool.images import Picture, Source

TOGETHER = 256  # pictures that go through the networks at once


def read_square(source: Source, size: int, context: Context) -> Tensor:
    """A picture as the networks want it, (3,S,S) in 0..1 on the CPU; notes say what was done.

    The middle square is brought to the size, transparency becomes white, values become bytes.
    """
    picture = context.read(source)
    height, width = picture.pixels.shape[1:]
    if (height, width) != (size, size):
        context.progress.note(
            f"{name_of(source)}: brought from {width}x{height} to {size}x{size}, which these "
            "weights are for"
        )
    return _square(picture, source, size, context)


def _square(picture: Picture, source: Source, size: int, context: Context) -> Tensor:
    if picture.alpha is not None:
        context.progress.note(f"{name_of(source)}: what is transparent became white")
    return square(picture, size).mul(255).round() / 255


def read_squares(
    sources: Sequence[Source], size: int, context: Context, what: str
) -> Iterator[tuple[Source, Tensor]]:
    """Those of a batch that can be read, each with its square; the others are told."""
    others = 0

    def each(source: Source) -> Iterator[tuple[Source, Tensor]]:
        nonlocal others
        picture = context.read(source)
        others += picture.pixels.shape[1:] != (size, size)
        yield source, _square(picture, source, size, context)

    yield from context.batch(each, sources, what)
    if others:
        context.progress.note(
            f"{what}: {others} of {len(sources)} pictures were brought to {size}x{size}, which "
            "these weights are for"
        )


def encode(model: VAE, pictures: Sequence[Tensor], context: Context) -> Posterior:
    """Posterior of pictures (3,S,S), on the CPU."""
    found = []
    for i in range(0, len(pictures), TOGETHER):
        batch = torch.stack([*pictures[i : i + TOGETHER]]).to(context.device)
        with context.compute.autocast():
            found.append(model.encode(batch))
    return Posterior(*(torch.cat(parts).cpu() for parts in zip(*found, strict=True)))


def draw(
    model: VAE,
    latents: Tensor,
    context: Context,
    detail: float,
    generator: Callable[[int], torch.Generator],
) -> Iterator[Tensor]:
    """Pictures (3,S,S) in 0..1 on the CPU, of latents (N,D).

    Args:
        model: the networks.
        latents: one for each picture.
        context: of the run.
        detail: share of the drawn detail, 0 for the mean.
        generator: gives the generator of picture number i's detail.
    """
    for start in range(0, len(latents), TOGETHER):
        part = latents[start : start + TOGETHER].to(context.device)
        with context.compute.autocast():
            decoded = model.decode(part)
            pictures = decoded.mean
            if detail:
                each = [model.noise(1, generator(start + i)) for i in range(len(part))]
                fine, coarse = (torch.cat(n).to(context.device) for n in zip(*each, strict=True))
                sharp = model.sharpen(decoded, (fine, coarse))
                pictures = pictures + detail * (sharp - pictures)
        yield from pictures.float().clamp(0, 1).cpu()
