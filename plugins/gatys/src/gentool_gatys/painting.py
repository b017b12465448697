"""From pictures and options to a run: sizes, targets, the first guess, tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import gentool
from gentool import Context, UsageError, memory
from gentool.color import match_colors
from gentool.images import resize, to_size
from gentool_gatys.minimize import LBFGS, Adam
from gentool_gatys.objective import Grams, Objective, Region, Seen, Weights
from gentool_gatys.options import StylizeOptions
from gentool_gatys.run import Run
from gentool_gatys.tiles import GRID
from gentool_perceptual.features import Features

SMALLEST = 32  # pixels: below, the deepest layer has less than two cells
LARGEST_AT_ONCE = 1024  # long side above which a smaller picture is painted first
BYTES_A_PIXEL = 6000  # of VGG-19's maps and their gradients in float32; the compact net takes less
MANY_PIXELS = 4 << 20  # above, fewer pairs of pictures are kept


@dataclass
class Pictures:
    """What is painted from, everything (3,H,W) float32 in 0..1.

    Attributes:
        content: at the result's size.
        styles: at their own sizes.
        masks: (1,H,W) at the result's size, one for each style, or empty.
        first: a picture to start from, or None.
    """

    content: Tensor
    styles: list[Tensor]
    masks: list[Tensor]
    first: Tensor | None = None


def levels(long_side: int) -> list[int]:
    """Long sides to paint at, small to large: large structures are cheap to find when small."""
    found = [long_side]
    while found[0] > LARGEST_AT_ONCE:
        found.insert(0, round(found[0] / 2))
    return found


def load_features(options: StylizeOptions, context: Context) -> Features:
    """The feature network, with the layers that the options name."""
    layers = dict.fromkeys([*options.content_layers, *options.style_layers])
    features = Features.load(options.features, layers, context.progress)
    return features.to(context.device)


def start(
    pictures: Pictures,
    features: Features,
    level: int,
    before: Tensor | None,
    options: StylizeOptions,
    context: Context,
) -> Run:
    """A run at one of the :func:`levels`.

    Args:
        pictures: what is painted from.
        features: the network.
        level: the long side.
        before: (3,h,w), the result of the level below; None at the first.
        options: of the action.
        context: of the action.
    """
    content = resize(pictures.content, level)
    styles = [_fit(style, level, pictures.content, options) for style in pictures.styles]
    if options.preserve_color == "histogram":
        styles = [match_colors(style, content) for style in styles]
    size = content.shape[1:]
    masks = [to_size(mask, size) for mask in pictures.masks]
    if before is not None:
        first = to_size(before, size)
    elif pictures.first is not None:
        first = to_size(pictures.first, size)
    else:
        first = first_guess(content, styles, masks, options, context)
    padded, device = _pad(content), context.device
    side = _tile_side(padded, options.tile, device)
    seen = Seen(features, context.compute, side)
    grams = [_grams(features, style[None], options, context) for style in styles]
    regions = _regions(grams, [_pad(mask).to(device) for mask in masks], options)
    objective = Objective(seen, padded.to(device), regions, weights(options))
    large = padded[0, 0].numel() > MANY_PIXELS
    minimizer = LBFGS(5 if large else 20) if options.optimizer == "lbfgs" else Adam()
    below = level > LARGEST_AT_ONCE  # the structures are there already
    steps = max(1, options.steps // 2) if below else options.steps
    return Run(objective, _pad(first).to(device), minimizer, steps, options.tolerance)


def weights(options: StylizeOptions) -> Weights:
    """The weights that the options ask for."""
    given = options.style_layer_weights or [1.0] * len(options.style_layers)
    content = 1 / len(options.content_layers)
    return Weights(
        content=dict.fromkeys(options.content_layers, content),
        style=dict(zip(options.style_layers, _shares(given), strict=True)),
        content_weight=options.content_weight,
        style_weight=options.style_weight,
        l2_weight=options.l2_weight,
        tv_weight=options.tv_weight,
    )


def first_guess(
    content: Tensor,
    styles: Sequence[Tensor],
    masks: Sequence[Tensor],
    options: StylizeOptions,
    context: Context,
) -> Tensor:
    """Where to start, (3,H,W): by default what AdaIN paints, which saves most of the work."""
    how = options.init
    if how == "auto":
        how = "adain" if "adain" in gentool.methods() else "content"
    if how == "noise":
        return torch.rand(content.shape, generator=context.generator())
    if how == "style":
        return mix([to_size(style, content.shape[1:]) for style in styles], masks, options)
    if how == "content":
        return content
    compute = context.compute
    adain = gentool.load(
        "adain", device=str(compute.device), precision=compute.precision, seed=context.seed
    )
    painted = [adain.stylize(content=content, style=style).tensor for style in styles]
    return mix(painted, masks, options)


def mix(pictures: Sequence[Tensor], masks: Sequence[Tensor], options: StylizeOptions) -> Tensor:
    """One picture of several of one size, by masks or else by the styles' shares."""
    if masks:
        by = torch.stack(list(masks)) + 1e-3  # equal where no mask is
    else:
        by = torch.tensor(_shares(options.style_weights or [1.0] * len(pictures)))
        by = by.view(-1, 1, 1, 1)
    return (torch.stack(list(pictures)) * by).sum(0).div(by.sum(0)).clamp(0, 1)


def _grams(features: Features, style: Tensor, options: StylizeOptions, context: Context) -> Grams:
    """A style's Gram matrices; in tiles of its own, as it may be larger than the content."""
    seen = Seen(features, context.compute, _tile_side(style, options.tile, context.device))
    return seen.grams(style.to(context.device), options.style_layers)


def _regions(
    grams: Sequence[Grams], masks: Sequence[Tensor], options: StylizeOptions
) -> list[Region]:
    shares = _shares(options.style_weights or [1.0] * len(grams))
    if masks:
        return [Region(g, m, s) for g, m, s in zip(grams, masks, shares, strict=True)]
    # a sum of losses towards several targets is, up to a constant, the loss towards their mean
    mean = {
        name: torch.stack([g[name] * s for g, s in zip(grams, shares, strict=True)]).sum(0)
        for name in options.style_layers
    }
    return [Region(mean)]


def _fit(style: Tensor, level: int, content: Tensor, options: StylizeOptions) -> Tensor:
    """A style at its size for a level: its strokes keep their size relative to the picture."""
    share = level / max(content.shape[1:])
    size = level if options.style_size is None else round(options.style_size * share)
    fitted = resize(style, max(SMALLEST, size))
    if min(fitted.shape[1:]) < SMALLEST:
        raise UsageError(f"a style of {_size(fitted)} pixels is too small; give --style-size")
    return fitted


def check_size(content: Tensor) -> None:
    """Refuse a content picture (3,H,W) that is too small for the deepest layers.

    Raises:
        UsageError: it is.
    """
    if min(content.shape[1:]) < SMALLEST:
        raise UsageError(
            f"a content of {_size(content)} pixels is too small: both sides must be at least "
            f"{SMALLEST}; give --content-size"
        )


def _size(picture: Tensor) -> str:
    return f"{picture.shape[2]} x {picture.shape[1]}"


def _pad(picture: Tensor) -> Tensor:
    """(C,H,W) -> (1,C,H',W') with sides that are multiples of 16, by repeating the edge."""
    height, width = picture.shape[1:]
    return F.pad(picture[None], (0, -width % GRID, 0, -height % GRID), mode="replicate")


def _shares(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return [w / total for w in weights]


def _tile_side(image: Tensor, wanted: int | None, device: torch.device) -> int:
    """The side of the tiles; 0 where the whole picture fits into half of the free memory."""
    if wanted is not None:
        return wanted
    room = memory.free(device) // 2
    if image[0, 0].numel() * BYTES_A_PIXEL <= room:
        return 0
    return max(256, int((room / BYTES_A_PIXEL) ** 0.5) - 160)
