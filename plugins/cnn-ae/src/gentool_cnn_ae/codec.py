"""Pictures to files and back: tiles, transforms and the exact coder put together."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gentool import Context
from gentool.compute import exactly
from gentool.images import LARGE, to_pil, without_limit
from gentool_cnn_ae import coder
from gentool_cnn_ae.basis import STRIDE
from gentool_cnn_ae.coder import LARGEST, Alphabets
from gentool_cnn_ae.container import Container, FormatError
from gentool_cnn_ae.exact import ExactPrior
from gentool_cnn_ae.nets import CnnAe, lambdas
from gentool_cnn_ae.options import LEVELS

TILE = 128  # positions a side; 2048 pixels. Part of the format: contexts end with a tile
SMALL = 1024  # positions of a tile that one thread works on
# times what an error costs by itself: one also misleads the contexts of others. Measured
PRICE = 2.5


@dataclass(frozen=True)
class Decoded:
    """A picture out of a file.

    Attributes:
        pixels: (3,H,W), or (1,H,W) where the picture was grey; float32, 0..1.
        alpha: (1,H,W) float32, 0..1, or None.
        level: quality from 0.
    """

    pixels: Tensor
    alpha: Tensor | None
    level: int


class Codec:
    """A model ready to write and read files.

    Everything is computed in float32, whatever precision the user asked for: a picture must look
    the same on every machine.

    Args:
        model: the networks.
        context: device, limits and progress.

    Raises:
        WeightsError: tables or entropy model are unusable.
    """

    def __init__(self, model: CnnAe, context: Context) -> None:
        self.model, self.context = model, context
        self.alphabets = Alphabets(model.tables.counts)
        self.latents = model.config.latents
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
        tiles = [data for data, _ in self.coded(pixels, level)]
        png = b"" if alpha is None else _to_png(alpha)
        return Container(self.id, level, width, height, tiles, _is_grey(pixels), png).pack()

    def coded(self, pixels: Tensor, level: int) -> Iterator[tuple[bytes, NDArray[Any]]]:
        """Bytes and symbols (h,w,latents) of each tile of a picture (3,H,W)."""
        gains = self.model.gains(torch.tensor([level], device=self.context.device))
        # bits a pixel for the mean over three colours, of latents in units of 16 grey levels
        price = (lambdas()[level] / 3 * (16 / gains.cpu()) ** 2).flatten().numpy()
        for _, latents in self._analysed(pixels, 0.0):
            wanted = (latents * gains)[0].clamp_(-LARGEST, LARGEST).permute(1, 2, 0).cpu().numpy()
            yield coder.encode(wanted, self.prior(level), self.alphabets, price * PRICE)

    def decompress(self, data: bytes) -> Decoded:
        """The bytes of a file to a picture.

        Raises:
            FormatError: they are damaged, or made with other weights.
        """
        file = Container.unpack(data, TILE * STRIDE, LEVELS)
        if file.model != self.id:
            raise FormatError(
                f"made with other weights (model {file.model.hex()}, these are {self.id.hex()}); "
                "give those with --weights"
            )
        if file.width * file.height > LARGE and not self.context.allow_large:
            raise FormatError(
                f"{file.width} x {file.height} pixels; if you trust it, add --allow-large"
            )
        pixels = self.synthesise(self.decoded(file), file.level)[:, : file.height, : file.width]
        if file.grey:
            pixels = pixels.mean(0, keepdim=True)
        alpha = _from_png(file.alpha, file.width, file.height) if file.alpha else None
        return Decoded(pixels, alpha, file.level)

    def decoded(self, file: Container) -> NDArray[np.int16]:
        """The symbols of a file (h,w,latents), the same on every machine.

        Raises:
            FormatError: they cannot be decoded.
        """
        rows, columns = (-(-n // STRIDE) for n in (file.height, file.width))
        symbols = np.zeros((rows, columns, self.latents), np.int16)
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

    def synthesise(self, symbols: NDArray[Any], level: int) -> Tensor:
        """Symbols (h,w,latents) -> picture (3,16h,16w) in 0..1, on the CPU."""
        levels = torch.tensor([level], device=self.context.device)
        gains: Tensor = self.model.gains(levels)

        def latents(place: Place) -> Tensor:
            known = torch.from_numpy(symbols[place].astype(np.float32)).to(self.context.device)
            return known.permute(2, 0, 1)[None] / gains

        return self._synthesised(symbols.shape[:2], latents, levels)

    def denoise(self, pixels: Tensor, deviation: float) -> Tensor:
        """A picture (3,H,W) without the Gaussian noise of that deviation, 0..1; same size.

        A grey one comes back as (1,H,W). It passes through the codec's transforms at the best
        quality, and nothing is rounded.
        """
        height, width = pixels.shape[1:]
        levels = torch.tensor([LEVELS - 1], device=self.context.device)
        latents = torch.empty(
            1, self.latents, *(-(-n // STRIDE) for n in (height, width)), device=levels.device
        )
        for tile, found in self._analysed(pixels, deviation):
            latents[:, :, *tile] = found
        picture = self._synthesised(latents.shape[2:], lambda at: latents[:, :, *at], levels)
        picture = picture[:, :height, :width]
        pixels = pixels.cpu()
        if _is_grey(pixels):
            picture, pixels = picture.mean(0, keepdim=True), pixels[:1]
        # what the codec itself loses is in the difference as well as the noise: where it is the
        # larger part, most of the picture is kept as it was
        difference = (pixels - picture).square().mean().item()
        lost = max(0.0, difference - deviation**2)
        return torch.lerp(picture, pixels, lost / max(lost + deviation**2, 1e-12))

    def _analysed(self, pixels: Tensor, noise: float) -> Iterator[tuple[Place, Tensor]]:
        """Each tile's place and latents (1,latents,h,w)."""
        height, width = pixels.shape[1:]
        level = torch.tensor([noise], device=self.context.device)
        grid = tuple(-(-n // STRIDE) for n in (height, width))
        for tile in self.context.progress.track([*tiles_of(grid)], "analysing"):
            wide, inner = _with_halo(tile, grid, self.model.encoder.REACH)
            rows, columns = _pixels(wide)
            part = pixels[None, :, rows, columns].to(self.context.device)
            missing = [rows.stop - rows.start, columns.stop - columns.start]
            missing = [n - have for n, have in zip(missing, part.shape[2:], strict=True)]
            part = F.pad(part, (0, missing[1], 0, missing[0]), mode="replicate")
            with exactly(), _sums_in_one_order(part.shape[2] * part.shape[3] // STRIDE**2):
                found = self.model.encoder(_channels_last(part), level)
            yield tile, found[:, :, *inner]

    def _synthesised(
        self, grid: tuple[int, ...], latents: Callable[[Place], Tensor], levels: Tensor
    ) -> Tensor:
        """Picture (3,16h,16w) in 0..1, on the CPU, tile by tile.

        Args:
            grid: (h,w), of latents.
            latents: gives those of a place, (1,latents,rows,columns).
            levels: (1,) the quality.
        """
        rows, columns = grid
        picture = torch.empty(3, rows * STRIDE, columns * STRIDE)
        for tile in tiles_of(grid):
            wide, inner = _with_halo(tile, grid, self.model.decoder.REACH)
            part = _channels_last(latents(wide))
            with exactly(), _sums_in_one_order(part.shape[2] * part.shape[3]):
                made = self.model.decoder(part, levels)
            picture[:, *_pixels(tile)] = made[0].clamp(0, 1)[:, *_pixels(inner)]
        return picture


@contextlib.contextmanager
def _sums_in_one_order(positions: int) -> Iterator[None]:
    """Take one thread for a small tile: between several, oneDNN splits the sums over channels.

    Seen with AVX-512 below 200 positions of latents; where there are more, it splits those.
    """
    threads = torch.get_num_threads()
    if positions < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


Place = tuple[slice, slice]


def tiles_of(shape: tuple[int, ...]) -> Iterator[Place]:
    """Rows and columns of each tile of a grid of latents, row by row."""
    for top in range(0, shape[0], TILE):
        for left in range(0, shape[1], TILE):
            yield (
                slice(top, min(top + TILE, shape[0])),
                slice(left, min(left + TILE, shape[1])),
            )


def _with_halo(tile: Place, shape: tuple[int, ...], reach: int) -> tuple[Place, Place]:
    """A tile with ``reach`` positions around it, and where in that it lies."""
    wide = [
        slice(max(0, s.start - reach), min(n, s.stop + reach))
        for s, n in zip(tile, shape, strict=False)
    ]
    inner = [slice(s.start - w.start, s.stop - w.start) for s, w in zip(tile, wide, strict=True)]
    return (wide[0], wide[1]), (inner[0], inner[1])


def _pixels(tile: Place) -> Place:
    rows, columns = (slice(s.start * STRIDE, s.stop * STRIDE) for s in tile)
    return rows, columns


def fingerprint(model: CnnAe) -> bytes:
    """4 bytes that name a model's weights, as files are decoded with."""
    found = hashlib.sha256()
    for prefix in ("decoder", "gains", "prior", "tables"):
        for name, tensor in model.networks[prefix].state_dict().items():
            found.update(f"{prefix}.{name}".encode())
            found.update(tensor.cpu().contiguous().numpy().tobytes())
    return found.digest()[:4]


def _is_grey(pixels: Tensor) -> bool:
    return bool((pixels[0] == pixels[1]).all() and (pixels[1] == pixels[2]).all())


def _channels_last(x: Tensor) -> Tensor:
    # in the other layout, sums depend on the number of threads
    return x.contiguous(memory_format=torch.channels_last)


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
