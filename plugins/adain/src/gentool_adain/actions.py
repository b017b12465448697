"""What ``gentool run adain`` does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool import Context, GentoolError
from gentool.artifacts import Image
from gentool.images import name_of, resize
from gentool_adain.color import keep_luminance, match_colors
from gentool_adain.nets import STRIDE, AdaIN, Style
from gentool_adain.options import StylizeOptions

if TYPE_CHECKING:
    from gentool.images import Source

SMALLEST = 2 * STRIDE  # pixels: reflection padding needs two cells at 1/8


def stylize(model: AdaIN, options: StylizeOptions, context: Context) -> Iterator[Image]:
    """Yield one picture for every content and style, of the content's exact size."""
    styles = _styles(model, options, context)
    for source in context.each(options.content, "stylize"):
        with context.guard(source, options.content):
            content = context.read(source)
            pixels = resize(content.pixels, options.content_size)
            alpha = None if content.alpha is None else resize(content.alpha, options.content_size)
            for style_source, name, style in styles:
                painted = paint(model, pixels, style, options, context)
                made_from = {"content": name_of(source), "style": name_of(style_source)}
                yield Image(painted, alpha, f"{content.name}-{name}", made_from)


def _styles(
    model: AdaIN, options: StylizeOptions, context: Context
) -> list[tuple[Source, str, Tensor | Style]]:
    """Source, name and encoding of each style; its pixels if its colors depend on the content."""
    found: list[tuple[Source, str, Tensor | Style]] = []
    for source in options.style:
        with context.guard(source, options.style):
            style = context.read(source)
            pixels = resize(style.pixels, options.style_size)
            histogram = options.preserve_color == "histogram"
            kept = pixels if histogram else encode_style(model, pixels, context)
            found.append((source, style.name, kept))
    if not found:
        raise GentoolError(f"no style can be read: {context.failures[0][1]}")
    return found


def encode_style(model: AdaIN, pixels: Tensor, context: Context) -> Style:
    """What the network keeps of a style picture (3,H,W)."""
    padded = _pad(pixels.to(context.device))
    with context.compute.autocast():
        return Style.of(model.encoder(padded))


def paint(
    model: AdaIN,
    pixels: Tensor,
    style: Tensor | Style,
    options: StylizeOptions,
    context: Context,
) -> Tensor:
    """One content (3,H,W) in one style, encoded or as pixels -> (3,H,W) on the CPU, 0..1."""
    target = (
        style
        if isinstance(style, Style)
        else encode_style(model, match_colors(style, pixels), context)
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
