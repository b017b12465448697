"""What ``gentool run adain`` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool import Context, GentoolError
from gentool.artifacts import Image
from gentool.images import Picture, resize
from gentool_adain.color import keep_luminance, match_colors
from gentool_adain.nets import STRIDE, AdaIN, Style
from gentool_adain.options import StylizeOptions

if TYPE_CHECKING:
    from gentool.images import Source

SMALLEST = 2 * STRIDE  # pixels: reflection padding needs two cells at 1/8


def stylize(model: AdaIN, options: StylizeOptions, context: Context) -> Iterator[Image]:
    """Yield one picture for every content and style, of the content's exact size."""
    styles = list(_styles(model, options, context))
    for source in context.each(options.content, "stylize"):
        with context.guard(source, options.content):
            content = context.read(source)
            pixels = resize(content.pixels, options.content_size)
            alpha = content.alpha if content.alpha is None else _like(content.alpha, pixels)
            for name, style in styles:
                painted = paint(model, pixels, style, options, context)
                label = f"{content.name}-{name}" if _told_apart(source, styles) else content.name
                yield Image(painted, alpha, label)


def _told_apart(source: Source, styles: Sequence[object]) -> bool:
    return isinstance(source, str | Path) or len(styles) > 1


def _styles(
    model: AdaIN, options: StylizeOptions, context: Context
) -> Iterator[tuple[str, Picture | Style]]:
    """Each style once: encoded, or as a picture where its colors depend on the content."""
    for source in options.style:
        with context.guard(source, options.style):
            style = context.read(source)
            pixels = resize(style.pixels, options.style_size)
            if options.preserve_color == "histogram":
                yield style.name, Picture(pixels, None, style.name)
            else:
                yield style.name, encode_style(model, pixels, context)
    if len(context.failures) == len(options.style):
        raise GentoolError(f"--style: {context.failures[0][1]}")


def encode_style(model: AdaIN, pixels: Tensor, context: Context) -> Style:
    """What the network keeps of a style picture (3,H,W)."""
    padded = _pad(pixels.to(context.device))
    with context.compute.autocast():
        return Style.of(model.encoder(padded))


def paint(
    model: AdaIN,
    pixels: Tensor,
    style: Picture | Style,
    options: StylizeOptions,
    context: Context,
) -> Tensor:
    """One content (3,H,W) in one style -> (3,H,W) on the CPU, 0..1."""
    target = (
        encode_style(model, match_colors(style.pixels, pixels), context)
        if isinstance(style, Picture)
        else style
    )
    padded = _pad(pixels.to(context.device))
    with context.compute.autocast():
        features = model.encoder(padded)
        own = Style.of(features)
        noise = model.noise(features, context.generator(), options.alpha)
        painted = model.decode(features, own, own.towards(target, options.alpha), noise)
    height, width = pixels.shape[1:]
    result = painted[0, :, :height, :width].float().clamp(0, 1).cpu()
    return keep_luminance(result, pixels) if options.preserve_color == "luminance" else result


def _pad(pixels: Tensor) -> Tensor:
    """(3,H,W) -> (1,3,H',W') with sides that are multiples of 8 and at least 16.

    By reflection where there is enough to reflect, else by repeating the edge.
    """
    height, width = pixels.shape[1:]
    bottom = max(SMALLEST, -(-height // STRIDE) * STRIDE) - height
    right = max(SMALLEST, -(-width // STRIDE) * STRIDE) - width
    mode = "reflect" if bottom < height and right < width else "replicate"
    padded = F.pad(pixels[None], (0, right, 0, bottom), mode=mode)
    return padded.contiguous(memory_format=torch.channels_last)


def _like(alpha: Tensor, pixels: Tensor) -> Tensor:
    if alpha.shape[1:] == pixels.shape[1:]:
        return alpha
    size = pixels.shape[1:]
    resized = F.interpolate(alpha[None], tuple(size), mode="bilinear", antialias=True)
    return resized[0].clamp(0, 1)
