"""What ``gentool run gatys`` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from gentool import Context, UsageError, WeightsError
from gentool.artifacts import File, Image
from gentool.images import as_mask, name_of, resize, to_size, visible
from gentool_gatys import painting
from gentool_gatys.job import Job, outside
from gentool_gatys.options import StylizeOptions
from gentool_gatys.painting import Pictures, load_features

if TYPE_CHECKING:
    from gentool.images import Source


class Gatys:
    """No networks of its own: the feature network is an option."""

    networks: Mapping[str, nn.Module] = {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Gatys:
        if config:
            raise WeightsError("gatys has no networks, so it takes no --weights; see --features")
        return cls()

    def get_config(self) -> dict[str, Any]:
        return {}


def stylize(_model: Gatys, options: StylizeOptions, context: Context) -> Iterator[Image | File]:
    """Yield one picture for every content; previews and loss curves as companions of it."""
    if context.compute.precision == "fp16":
        raise UsageError(
            "--precision fp16: gradients of pixels are too small for it; take bf16 or fp32"
        )
    if options.plot:
        from gentool_gatys import plot

        plot.check()
    styles = [context.read(source) for source in options.style]
    masks = [as_mask(context.read(source)) for source in options.mask or ()]
    if any(mask.max() < 1 / 255 for mask in masks):
        raise UsageError("--mask: a mask is all black, so its style would apply nowhere")
    named = isinstance(options.init, str)  # the options take other words for paths
    first = None if named else visible(context.read(options.init))
    features = outside(load_features, options, context)

    def each(source: Source) -> Iterator[Image | File]:
        content = context.read(source)
        pixels = resize(visible(content), options.content_size or None)
        painting.check_size(pixels)
        if pixels.shape != content.pixels.shape:
            (height, width), (tall, wide) = pixels.shape[1:], content.pixels.shape[1:]
            context.progress.note(
                f"{name_of(source)}: painted at {width}x{height} instead of {wide}x{tall}; "
                "--content-size says how large, 0 keeps its size and takes longer"
            )
        alpha = None if content.alpha is None else resize(content.alpha, max(pixels.shape))
        fitted = [to_size(mask, pixels.shape[1:]) for mask in masks]
        pictures = Pictures(pixels, [visible(style) for style in styles], fitted, first)
        name = "-".join([content.name, *(s.name for s in styles)])
        made_from = {"content": name_of(source)}
        job = Job(pictures, features, options, context)
        for picture in job.previews():
            yield Image(picture, None, name, made_from, part="preview")
        yield Image(job.result(), alpha, name, made_from)
        if options.plot:
            yield File(plot.curve(job.curve, name), ".svg", name, made_from, part="loss")
        context.progress.note(f"{name_of(source)}: {job.summary()}")
        if job.interrupted:
            raise KeyboardInterrupt

    yield from context.batch(each, options.content, "stylize")
