"""What ``gentool run cnn-ae`` does."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from gentool import Context, GentoolError
from gentool.artifacts import Figures, File, Image
from gentool.images import area, name_of, visible
from gentool.similarity import psnr, ssim
from gentool_cnn_ae import container
from gentool_cnn_ae.codec import Codec
from gentool_cnn_ae.nets import CnnAe
from gentool_cnn_ae.noise import noise_of
from gentool_cnn_ae.options import (
    CompressOptions,
    DecompressOptions,
    DenoiseOptions,
    ReconstructOptions,
)
from gentool_cnn_ae.tiles import Tiled

if TYPE_CHECKING:
    from gentool.images import Picture, Source

LABEL = re.compile(r"-cnn-ae(-\d+)?$")  # behind the name of a file that was given no other


def compress(model: CnnAe, options: CompressOptions, context: Context) -> Iterator[File]:
    """Yield one .gta file for every picture."""
    codec = Codec(model, context)

    def each(source: Source) -> Iterator[File]:
        picture = _read(source, context)
        data = codec.compress(visible(picture), options.quality - 1, picture.alpha)
        context.progress.note(f"{name_of(source)}: {_size(data, picture)}{_larger(data, source)}")
        yield File(data, ".gta", picture.name, made_from={"input": name_of(source)})

    yield from context.batch(each, options.input, "compress", area)


def decompress(model: CnnAe, options: DecompressOptions, context: Context) -> Iterator[Image]:
    """Yield one picture for every .gta file."""
    codec = Codec(model, context)

    def each(path: Path) -> Iterator[Image]:
        with _named(path):
            found = codec.decompress(_bytes(path))
            name = LABEL.sub("", path.stem)
            yield Image(found.pixels, found.alpha, name, {"input": path.name})

    yield from context.batch(each, options.input, "decompress", container.area)


def reconstruct(
    model: CnnAe, options: ReconstructOptions, context: Context
) -> Iterator[Image | Figures]:
    """Yield what compressing and decompressing leaves of every picture, and how near it is."""
    codec = Codec(model, context)

    def each(source: Source) -> Iterator[Image | Figures]:
        picture = _read(source, context)
        pixels = visible(picture)
        data = codec.compress(pixels, options.quality - 1, picture.alpha)
        found = codec.decompress(data)
        # as they would be written, in whole grey levels
        shown = (found.pixels.expand(3, -1, -1) * 255).round() / 255
        values = {
            "bytes": len(data),
            "bits_per_pixel": _rate(data, picture),
            "psnr": psnr(shown[None], pixels[None]).item(),
            "ssim": ssim(shown[None], pixels[None]).item(),
        }
        context.progress.note(
            f"{name_of(source)}: {_size(data, picture)}, "
            f"PSNR {values['psnr']:.2f} dB, SSIM {values['ssim']:.4f}"
        )
        made_from = {"input": name_of(source)}
        yield Image(found.pixels, found.alpha, picture.name, made_from)
        yield Figures(values, picture.name, made_from, part="figures")

    yield from context.batch(each, options.input, "reconstruct", area)


def denoise(model: CnnAe, options: DenoiseOptions, context: Context) -> Iterator[Image]:
    """Yield every picture with less noise."""
    tiled = Tiled(model, context)

    def each(source: Source) -> Iterator[Image]:
        picture = context.read(source)
        sigma = options.sigma
        if sigma is None:
            sigma = 255 * noise_of(picture.pixels, picture.alpha)
            context.progress.note(f"{name_of(source)}: noise of about {sigma:.1f} grey levels")
        pixels = tiled.denoise(picture.pixels, sigma / 255, picture.alpha)
        yield Image(pixels, picture.alpha, picture.name, {"input": name_of(source)})

    yield from context.batch(each, options.input, "denoise", area)


def _read(source: Source, context: Context) -> Picture:
    """A picture whose values are whole grey levels; says so where they were not."""
    picture = context.read(source)
    rows = torch.split(picture.pixels, 256, 1)  # so many at once: copies of all would be gigabytes
    if any(((255 * part).frac() - 0.5).abs().min() < 0.49 for part in rows):
        context.progress.note(f"{name_of(source)}: more than 8 bits a colour, 8 are kept")
    return picture


def _size(data: bytes, picture: Picture) -> str:
    return f"{len(data):,} bytes, {_rate(data, picture):.3f} bits a pixel"


def _larger(data: bytes, source: Source) -> str:
    """What to say where compressing did not pay, as with text and drawings."""
    if isinstance(source, str | Path) and (size := Path(source).stat().st_size) <= len(data):
        return f": not smaller than the file itself, {size:,} bytes; keep that"
    return ""


def _rate(data: bytes, picture: Picture) -> float:
    return 8 * len(data) / picture.pixels[0].numel()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise GentoolError("no such file") from None
    except OSError as e:
        raise GentoolError(f"cannot read: {e.strerror or e}") from e


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except GentoolError as e:
        raise type(e)(f"{path}: {e}") from e
