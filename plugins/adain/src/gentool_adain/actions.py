"""What ``gentool run adain`` does."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gentool import Context, GentoolError
from gentool.artifacts import Animation, Grid, Image, check_size
from gentool.color import match_colors
from gentool.images import area, as_mask, name_of, resize, visible
from gentool_adain.features import encode_style
from gentool_adain.nets import AdaIN
from gentool_adain.options import InterpolateOptions, PaintOptions, StylizeOptions
from gentool_adain.painting import Painting
from gentool_adain.statistics import Style

if TYPE_CHECKING:
    from gentool.images import Source

Encoding = Callable[[Tensor], Style]  # of a style, given the content, whose colors it may take


def stylize(model: AdaIN, options: StylizeOptions, context: Context) -> Iterator[Image]:
    """Yield one picture for every content and style, or for every content where styles blend."""
    styles = _styles(model, options, context)
    masks = [as_mask(context.read(m)) for m in options.mask or []]
    long = options.content_size or None

    def each(source: Source) -> Iterator[Image]:
        content = context.read(source)
        pixels = resize(visible(content), long)
        alpha = None if content.alpha is None else resize(content.alpha, long)
        painting = Painting(model, pixels, context, options, masks, options.style_weights)
        made_from = {"content": name_of(source)}
        if options.blended:
            together = [style(pixels) for _, _, style in styles]
            weights = options.style_weights or ()
            target = _regions(together) if masks else _mix(together, weights)
            names = "+".join(name for _, name, _ in styles)
            painted = painting.paint(target)
            yield Image(painted, alpha, f"{content.name}-{names}", made_from)
            return
        for style_source, name, style in styles:
            painted = painting.paint(style(pixels))
            from_both = made_from | {"style": name_of(style_source)}
            yield Image(painted, alpha, f"{content.name}-{name}", from_both)

    def pixels_of(source: Source) -> int:
        return max(area(source), (long or 0) ** 2) * len(styles)

    yield from context.batch(each, options.content, "stylize", pixels_of)


def interpolate(
    model: AdaIN, options: InterpolateOptions, context: Context
) -> Iterator[Grid | Animation]:
    """Yield one content painted in styles between those given."""
    content = context.read(options.content)
    pixels = resize(visible(content), options.content_size or None)
    styles = [encode(pixels) for _, _, encode in _styles(model, options, context)]
    painting = Painting(model, pixels, context, options)
    animation = options.layout == "animation"
    rows = between(styles, options.steps, animation)
    wanted = [style for row in rows for style in row]
    _, height, width = pixels.shape
    check_size(len(wanted), height, width, "--steps and --content-size")
    frames = [painting.paint(s) for s in context.progress.track(wanted, "interpolate")]
    if content.alpha is not None:
        context.progress.note(f"{name_of(options.content)}: what is transparent became white")
        alpha = resize(content.alpha, options.content_size or None)
        frames = [frame * alpha + (1 - alpha) for frame in frames]
    if animation:
        yield Animation(frames, options.fps, name=f"{content.name}-styles")
    else:
        yield Grid(frames, columns=options.steps, name=f"{content.name}-styles")


def between(styles: Sequence[Style], steps: int, around: bool = False) -> list[list[Style]]:
    """Rows of ``steps`` styles, each row from one style to the next.

    Args:
        styles: two or more; four make a square with one in each corner, bilinearly between
            (fig. 8 of the paper).
        steps: columns.
        around: a row from the last back to the first as well; no row repeats the next one's start.
    """
    if around:
        following = [*styles[1:], styles[0]]
        return [
            [a.towards(b, i / steps) for i in range(steps)]
            for a, b in zip(styles, following, strict=True)
        ]
    shares = [i / (steps - 1) for i in range(steps)]
    pairs = list(itertools.pairwise(styles))
    if len(styles) == 4:
        top, bottom = styles[:2], styles[2:]
        edges = [[a.towards(b, y) for a, b in zip(top, bottom, strict=True)] for y in shares]
        pairs = [(left, right) for left, right in edges]
    return [[a.towards(b, x) for x in shares] for a, b in pairs]


def _styles(
    model: AdaIN, options: StylizeOptions | InterpolateOptions, context: Context
) -> list[tuple[Source, str, Encoding]]:
    """Source, name and encoding of each style that can be read."""
    found: list[tuple[Source, str, Encoding]] = []
    # where styles go together, one that is missing would change what the others do
    each_alone = isinstance(options, StylizeOptions) and not options.blended
    for source in options.style:
        with context.guard(source, options.style if each_alone else [source]):
            style = context.read(source)
            pixels = resize(visible(style), options.style_size or None)
            found.append((source, style.name, _encoding(model, pixels, options, context)))
    if not found:
        raise GentoolError(f"no style can be read: {context.failures[0][1]}")
    return found


def _encoding(model: AdaIN, style: Tensor, options: PaintOptions, context: Context) -> Encoding:
    """Of one style: encoded now, or again for each content whose colors it takes."""
    encode = functools.partial(encode_style, model, context=context, tile_side=options.tile)
    if options.preserve_color == "histogram":
        return lambda content: encode(match_colors(style, content))
    encoded = encode(style)
    return lambda _: encoded


def _mix(styles: Sequence[Style], weights: Sequence[float]) -> Style:
    """The weighted mean of styles (eq. 15 of the paper)."""
    total = sum(weights)
    shares = [w / total for w in weights]
    return Style(
        *(
            torch.stack([share * part for share, part in zip(shares, parts, strict=True)]).sum(0)
            for parts in zip(*styles, strict=True)
        )
    )


def _regions(styles: Sequence[Style]) -> Style:
    """Styles of K regions as one, (K,C)."""
    return Style(*(torch.cat(parts) for parts in zip(*styles, strict=True)))
