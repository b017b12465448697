"""Between the user's pictures and the networks: squares in, drawn pictures out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gentool import Context
from gentool.images import square
from gentool.latents import check_finite
from gentool_vae.nets import VAE, Posterior

if TYPE_CHECKING:
    from gentool.images import Picture, Source

TOGETHER = 256  # pictures that go through the networks at once


def read_square(source: Source, size: int, context: Context) -> Picture:
    """A picture's middle square in bytes, as the networks want it; notes say what was done."""
    picture = context.read_square(source, size)
    return replace(picture, pixels=_bytes(picture.pixels))


def read_squares(
    sources: Sequence[Source], size: int, context: Context, what: str
) -> Iterator[Picture]:
    """:func:`read_square` of those of a set that can be read; what was done is told once."""
    others = clear = 0

    def each(source: Source) -> Iterator[Picture]:
        nonlocal others, clear
        picture = context.read(source)
        others += picture.pixels.shape[1:] != (size, size)
        clear += picture.alpha is not None
        yield replace(picture, pixels=_bytes(square(picture, size)), alpha=None)

    yield from context.batch(each, sources, what)
    if others:
        context.progress.note(
            f"{what}: {others} of {len(sources)} pictures were brought to {size}x{size}, which "
            "these weights are for"
        )
    if clear:
        context.progress.note(
            f"{what}: what is transparent in {clear} of {len(sources)} pictures became white"
        )


def _bytes(pixels: Tensor) -> Tensor:
    """The nearest multiples of 1/255, of which the likelihood is."""
    return pixels.mul(255).round() / 255


def encode(model: VAE, pictures: Sequence[Tensor], context: Context) -> Posterior:
    """Posterior of pictures (3,S,S), on the CPU.

    Raises:
        GentoolError: a weight is so large, or no number, that no latent comes of it.
    """
    found = []
    for i in range(0, len(pictures), TOGETHER):
        batch = torch.stack([*pictures[i : i + TOGETHER]]).to(context.device)
        with context.compute.autocast():
            found.append(model.encode(batch))
    posterior = Posterior(*(torch.cat(parts).cpu() for parts in zip(*found, strict=True)))
    check_finite(posterior.mean)
    return posterior


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

    Raises:
        GentoolError: a latent or a weight is so large, or no number, that no picture comes of it.
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
        check_finite(pictures)
        yield from pictures.float().clamp(0, 1).cpu()
