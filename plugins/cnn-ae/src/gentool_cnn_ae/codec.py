"""Pictures to files and back: tiles, transforms and the exact coder put together."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from gentool import Context
from gentool.images import LARGE, to_pil, without_limit
from gentool_cnn_ae import coder, tiles
from gentool_cnn_ae.basis import STRIDE
from gentool_cnn_ae.choice import price
from gentool_cnn_ae.coder import LARGEST, Alphabets
from gentool_cnn_ae.container import Container, FormatError
from gentool_cnn_ae.exact import ExactPrior
from gentool_cnn_ae.nets import CnnAe
from gentool_cnn_ae.options import LEVELS
from gentool_cnn_ae.tiles import Tiled, is_grey, tiles_of


@dataclass(frozen=True)
class Decoded:
    """A picture out of a file.

    Attributes:
        pixels: (3,H,W), or (1,H,W) where the picture was grey; float32, 0..1.
        alpha: (1,H,W) float32, 0..1, or None.
    """

    pixels: Tensor
    alpha: Tensor | None


class Codec:
    """A model ready to write and read files.

    Args:
        model: the networks.
        context: device, limits and progress.

    Raises:
        WeightsError: tables or entropy model are unusable.
    """

    def __init__(self, model: CnnAe, context: Context) -> None:
        self.model, self.context = model, context
        self.tiled = Tiled(model, context)
        self.alphabets = Alphabets(model.tables.counts)
        self._priors: dict[int, ExactPrior] = {}
        self.id = fingerprint(model)

    def prior(self, level: int) -> ExactPrior:
        """The exact entropy model of a quality."""
        if level not in self._priors:
            self._priors[level] = ExactPrior(self.model.prior, level)
        return self._priors[level]

    def compress(self, pixels: Tensor, level: int, alpha: Tensor | None = None) -> bytes:
        """A picture (3,H,W) in 0..1 and its transparency to the bytes of a file."""
        height, width = pixels.shape[1:]
        parts = [data for data, _ in self.coded(pixels, level)]
        png = b"" if alpha is None else _to_png(alpha)
        return Container(self.id, level, width, height, parts, is_grey(pixels), png).pack()

    def coded(self, pixels: Tensor, level: int) -> Iterator[tuple[bytes, NDArray[Any]]]:
        """Bytes and symbols (h,w,latents) of each tile of a picture (3,H,W)."""
        levels = torch.tensor([level], device=self.context.device)
        gains = self.model.gains(levels)
        worth = price(gains, levels).flatten().cpu().numpy()
        for _, latents in self.tiled.analysed(pixels, 0.0):
            wanted = (latents * gains)[0].clamp_(-LARGEST, LARGEST).permute(1, 2, 0).cpu().numpy()
            yield coder.encode(wanted, self.prior(level), self.alphabets, worth)

    def decompress(self, data: bytes) -> Decoded:
        """The bytes of a file to a picture.

        Raises:
            FormatError: they are damaged, or made with other weights.
        """
        file = Container.unpack(data, tiles.TILE * STRIDE, LEVELS)
        if file.model != self.id:
            raise FormatError(
                f"made with other weights (model {file.model.hex()}, these are {self.id.hex()}); "
                "give those with --weights"
            )
        if file.width * file.height > LARGE and not self.context.allow_large:
            raise FormatError(
                f"{file.width} x {file.height} pixels; if you trust it, add --allow-large"
            )
        pixels = self.tiled.synthesise(self.decoded(file), file.level)
        pixels = pixels[:, : file.height, : file.width]
        if file.grey:
            pixels = pixels.mean(0, keepdim=True)
        alpha = _from_png(file.alpha, file.width, file.height) if file.alpha else None
        return Decoded(pixels, alpha)

    def decoded(self, file: Container) -> NDArray[np.int16]:
        """The symbols of a file (h,w,latents), the same on every machine.

        Raises:
            FormatError: they cannot be decoded.
        """
        rows, columns = (-(-n // STRIDE) for n in (file.height, file.width))
        symbols = np.zeros((rows, columns, self.model.config.latents), np.int16)
        places = [*tiles_of(symbols.shape)]
        for place, data in self.context.progress.track(
            [*zip(places, file.tiles, strict=True)], "decoding"
        ):
            size = symbols[place].shape
            try:
                found = coder.decode(data, size, self.prior(file.level), self.alphabets)
                symbols[place] = found.clip(-LARGEST, LARGEST)
            except (ValueError, AssertionError) as e:  # the latter is constriction's
                raise FormatError(f"damaged: its symbols cannot be decoded ({e})") from e
        return symbols


def fingerprint(model: CnnAe) -> bytes:
    """4 bytes that name a model's weights, as files are decoded with."""
    found = hashlib.sha256()
    for prefix in ("decoder", "gains", "prior", "tables"):
        for name, tensor in model.networks[prefix].state_dict().items():
            found.update(f"{prefix}.{name}".encode())
            found.update(tensor.cpu().contiguous().numpy().tobytes())
    return found.digest()[:4]


def _to_png(alpha: Tensor) -> bytes:
    buffer = io.BytesIO()
    to_pil(alpha).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _from_png(data: bytes, width: int, height: int) -> Tensor:
    try:
        # the size was checked against the file's own, which was against what the user trusts
        with without_limit(), PIL.Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != (width, height) or image.mode != "L":
                raise FormatError("damaged: its transparency has another size than its picture")
            return torch.from_numpy(np.array(image)).float().div_(255)[None]
    except FormatError:
        raise
    except Exception as e:  # Pillow's decoders raise nearly anything on damaged files
        raise FormatError("damaged: its transparency cannot be decoded") from e
