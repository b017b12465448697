"""What ``gentool run vae`` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gentool import Context, GentoolError
from gentool.artifacts import Animation, Figures, File, Grid, Image, check_size
from gentool.images import name_of, to_size
from gentool.latents import slerp
from gentool.similarity import psnr, ssim
from gentool_vae import latents
from gentool_vae.likelihood import bits_per_dimension, negative_bound
from gentool_vae.nets import VAE, Decoded, Posterior
from gentool_vae.options import (
    AttributeOptions,
    DecodeOptions,
    DrawOptions,
    EncodeOptions,
    InterpolateOptions,
    ReconstructOptions,
    SampleOptions,
    SheetOptions,
)
from gentool_vae.pictures import TOGETHER, draw, encode, read_square, read_squares

if TYPE_CHECKING:
    from gentool.images import Source

Sheet = Iterator[Grid | Image]


def sample(model: VAE, options: SampleOptions, context: Context) -> Sheet:
    """Yield new pictures; number k depends on the seed and k alone."""
    numbers = range(options.first, options.first + options.n)
    _check_sheet(model, options, options.n, "--n")
    made = new(model, numbers, options, context)
    yield from _sheet(made, [f"sample-{k:05}" for k in numbers], options)


def new(model: VAE, numbers: range, options: SampleOptions, context: Context) -> Iterator[Tensor]:
    """Samples of these numbers (3,S,S), one after another."""
    for start in context.each(range(0, len(numbers), TOGETHER), "sample"):
        own = [context.generator(k) for k in numbers[start : start + TOGETHER]]
        chance = torch.cat([torch.rand(1, generator=g) for g in own])
        noise = torch.stack([torch.randn(model.config.latent, generator=g) for g in own])
        noise *= options.spread
        drawn = model.prior(chance.to(context.device), noise.to(context.device))
        yield from draw(model, drawn, context, options.detail, own.__getitem__)


def reconstruct(
    model: VAE, options: ReconstructOptions, context: Context
) -> Iterator[Grid | Figures]:
    """Yield each picture beside what is left of it: the mean, and one draw with detail."""

    def each(source: Source) -> Iterator[Grid | Figures]:
        picture = read_square(source, model.config.size, context)
        posterior = encode(model, [picture.pixels], context)
        row = [picture.pixels]
        for detail in (0.0, 1.0):
            row += draw(model, posterior.mean, context, detail, context.generator)
        figures = _compare(model, row, posterior, context)
        context.progress.note(
            f"{name_of(source)}: PSNR {figures['psnr']:.2f} dB, SSIM {figures['ssim']:.3f}, "
            f"with detail {figures['psnr_detail']:.2f} dB and {figures['ssim_detail']:.3f}; "
            f"{figures['bits_per_dimension']:.2f} bits a value"
        )
        made_from = {"image": name_of(source)}
        yield Grid(row, columns=3, name=picture.name, made_from=made_from)
        yield Figures(figures, picture.name, made_from, part="figures")

    yield from context.batch(each, options.image, "reconstruct")


def _compare(
    model: VAE, row: Sequence[Tensor], posterior: Posterior, context: Context
) -> dict[str, float]:
    picture, mean, sharp = (p[None].mul(255).round() / 255 for p in row)  # as they are written
    drawn = posterior.sample(context.generator())
    with context.compute.autocast():
        decoded = model.decode(drawn.to(context.device))
    nats = negative_bound(Decoded(*(part.cpu() for part in decoded)), posterior, picture)
    found = {
        "psnr": psnr(mean, picture),
        "ssim": ssim(mean, picture),
        "psnr_detail": psnr(sharp, picture),
        "ssim_detail": ssim(sharp, picture),
        "bits_per_dimension": bits_per_dimension(nats, picture),
    }
    return {name: value.item() for name, value in found.items()}


def interpolate(
    model: VAE, options: InterpolateOptions, context: Context
) -> Iterator[Grid | Animation]:
    """Yield the pictures between two."""
    there_and_back = 2 * options.steps - 2
    count = there_and_back if options.layout == "animation" else options.steps
    side = model.config.size * options.upscale
    check_size(count, side, side, "--steps")
    ends = [read_square(s, model.config.size, context) for s in (options.start, options.end)]
    a, b = encode(model, [end.pixels for end in ends], context).mean
    there = torch.stack([slerp(a, b, i / (options.steps - 1)) for i in range(options.steps)])
    # the same noise all the way: only what the latents say changes
    made = draw(model, there, context, options.detail, lambda _: context.generator())
    frames = [*_enlarged(made, options)]
    name = "-".join(end.name for end in ends)
    if options.layout == "animation":
        yield Animation([*frames, *frames[-2:0:-1]], options.fps, name=name)
    else:
        yield Grid(frames, columns=options.steps, name=name)


def encode_file(model: VAE, options: EncodeOptions, context: Context) -> Iterator[File]:
    """Yield one file with the latents of all pictures that can be read."""
    read = [*read_squares(options.image, model.config.size, context, "encode")]
    if not read:
        return
    names = [picture.name for picture in read]
    posterior = encode(model, [picture.pixels for picture in read], context)
    data = latents.pack(model, posterior, names)
    yield File(data, ".safetensors", names[0] if len(names) == 1 else f"{len(names)}-pictures")


def decode_file(model: VAE, options: DecodeOptions, context: Context) -> Sheet:
    """Yield the pictures of a file of latents."""
    mean, names = latents.read(model, options.latents[0])
    _check_sheet(model, options, len(mean), "--latents")
    made = draw(model, mean, context, options.detail, context.generator)
    yield from _sheet(made, names, options)


def attribute(model: VAE, options: AttributeOptions, context: Context) -> Iterator[Grid]:
    """Yield a row for each picture: less and more of what sets two sets of pictures apart."""
    size = model.config.size
    check_size(options.steps, size * options.upscale, size * options.upscale, "--steps")
    having = _mean(model, options.having, context, "having")
    difference = having - _mean(model, options.lacking, context, "lacking")
    amounts = torch.linspace(-options.strength, options.strength, options.steps)

    def each(source: Source) -> Iterator[Grid]:
        picture = read_square(source, size, context)
        mean = encode(model, [picture.pixels], context).mean
        moved = mean + amounts[:, None] * difference
        made = draw(model, moved, context, options.detail, lambda _: context.generator())
        row = [*_enlarged(made, options)]
        made_from = {"image": name_of(source)}
        yield Grid(row, columns=options.steps, name=picture.name, made_from=made_from)

    yield from context.batch(each, options.image, "attribute")


def _mean(model: VAE, sources: Sequence[Source], context: Context, name: str) -> Tensor:
    """Mean latent (D,) of the pictures that can be read."""
    read = read_squares(sources, model.config.size, context, name)
    squares = [picture.pixels for picture in read]
    if not squares:
        raise GentoolError(f"--{name}: none of its {len(sources)} pictures can be read")
    return encode(model, squares, context).mean.mean(0)


def _check_sheet(model: VAE, options: SheetOptions, count: int, flags: str) -> None:
    if options.layout != "each":
        side = model.config.size * options.upscale
        check_size(count, side, side, flags)


def _enlarged(pictures: Iterable[Tensor], options: DrawOptions) -> Iterator[Tensor]:
    for picture in pictures:
        yield to_size(picture, [side * options.upscale for side in picture.shape[1:]])


def _sheet(pictures: Iterable[Tensor], names: Sequence[str], options: SheetOptions) -> Sheet:
    made = _enlarged(pictures, options)
    if options.layout == "grid":
        yield Grid([*made], name=names[0] if len(names) == 1 else f"{names[0]}-{len(names)}")
        return
    for picture, name in zip(made, names, strict=True):
        yield Image(picture, name=name)
