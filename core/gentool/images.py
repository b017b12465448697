"""Pictures in. Inside gentool a picture is float32 RGB, 0..1, sRGB, upright.

Read is whatever Pillow opens: EXIF orientation is applied, an ICC profile is converted to sRGB,
grey, palette, CMYK and 16-bit become RGB, alpha is kept apart, the first frame of an animation is
taken. Pictures go out through :mod:`gentool.encoding`.
"""

from __future__ import annotations

import contextlib
import io
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gentool.errors import ImageError, OutputError
from gentool.files import similar
from gentool.shared import Shared

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from torch import Tensor

    Source: TypeAlias = str | Path | PIL.Image.Image | np.ndarray | Tensor

SUFFIXES = frozenset(
    (
        *(".png", ".jpg", ".jpeg", ".jpe", ".webp", ".tif", ".tiff"),
        *(".bmp", ".gif", ".avif", ".ppm", ".pgm", ".jp2", ".tga"),
    )
)
"""What a folder's files are taken for pictures by."""

LARGE = 178_956_970
"""Pixels beyond which a picture is only read if the user trusts it: Pillow's own limit."""

_ORIENTATION = 0x0112
_PHOTOMETRIC = 0x0106
_MAY_ORIENT = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
_HANDED_IN = threading.Lock()  # images that the caller opened, maybe one several times


@dataclass(frozen=True)
class Picture:
    """A picture that was read.

    Attributes:
        pixels: (3,H,W) float32, 0..1, sRGB.
        alpha: (1,H,W) float32, 0..1, or None where everything is opaque.
        name: the file's name without suffix, or ``image``.
        notes: what the user should know, one line each.
    """

    pixels: Tensor
    alpha: Tensor | None
    name: str
    notes: tuple[str, ...] = ()


def name_of(source: Source) -> str:
    """How a source is called in messages: the file's name, or ``image``."""
    return Path(source).name if isinstance(source, str | Path) else "image"


def area(source: Source) -> int:
    """Pixels of a picture by its header, without decoding it; 0 of what cannot be read."""
    if isinstance(source, str | Path):
        try:
            with opened(Path(source), allow_large=True) as image:
                return image.width * image.height
        except ImageError:
            return 0
    import PIL.Image

    if isinstance(source, PIL.Image.Image):
        return source.width * source.height
    return math.prod(sorted(source.shape)[-2:])  # the channels are the fewest


def read(source: Source, allow_large: bool = False) -> Picture:
    """Read a picture.

    Args:
        source: a path, a PIL image, an array (H,W) or (H,W,3|4) uint8, or a tensor (1|3|4,H,W) in
            0..1.
        allow_large: read pictures above Pillow's decompression-bomb limit (179 megapixels).

    Raises:
        ImageError: there is no such file, or it is no picture, damaged or too large.
    """
    if not isinstance(source, str | Path):
        import numpy as np
        import PIL.Image

        if isinstance(source, np.ndarray):
            source = _from_array(source)
        if not isinstance(source, PIL.Image.Image):
            return _from_tensor(source)
        # Pillow opens lazily: its file may turn out damaged here, and another thread may read it
        with _explained("image"), _HANDED_IN:
            return from_pil(source, "image")
    path = Path(source)
    with opened(path, allow_large) as image:
        image.load()
        return from_pil(image, path.stem)


@contextlib.contextmanager
def opened(path: Path, allow_large: bool = False) -> Iterator[PIL.Image.Image]:
    """A Pillow image, not yet decoded; whatever goes wrong becomes one ImageError."""
    import PIL.Image

    limit = without_limit() if allow_large else contextlib.nullcontext()
    with _explained(path), limit:
        if path.is_dir():
            raise ImageError(f"{path}: is a folder, not a picture")
        if path.stat().st_size == 0:
            raise ImageError(f"{path}: the file is empty (0 bytes)")
        with PIL.Image.open(path) as image:
            yield image


@contextlib.contextmanager
def _no_limit() -> Iterator[None]:
    import PIL.Image

    limit, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = limit


without_limit = Shared(_no_limit)
"""Lifts Pillow's decompression-bomb limit, which is global, for the body."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # large pictures below the limit, odd EXIF: nothing that the user could act on
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield


_quietly = Shared(_quiet)


@contextlib.contextmanager
def _explained(where: str | Path) -> Iterator[None]:
    """Make one ImageError of whatever the body raises on a bad file."""
    import PIL.Image

    try:
        with _quietly():
            yield
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{where}: no such file{similar(Path(where))}") from None
    except PIL.Image.DecompressionBombError:
        raise ImageError(
            f"{where}: more than {2 * (PIL.Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} megapixels; "
            "if you trust it, add --allow-large"
        ) from None
    except PIL.UnidentifiedImageError:
        raise ImageError(f"{where}: not a picture that Pillow can read") from None
    except MemoryError:
        raise ImageError(f"{where}: does not fit into memory") from None
    # Pillow's decoders raise nearly anything on damaged files: SyntaxError, struct.error, ...
    except Exception as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e) or repr(e)
        raise ImageError(f"{where}: cannot read the picture: {' '.join(reason.split())}") from e


def from_pil(image: PIL.Image.Image, name: str) -> Picture:
    """A picture of a Pillow image, whatever its mode; raises what Pillow does."""
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # MPO: a phone's JPEG with previews behind it
        notes.append(f"animated or paged: took the first of {frames} frames")
    if image.width * image.height == 0:
        raise ImageError(f"{name}: the picture has no pixels")
    tags: Any = getattr(image, "tag_v2", {})  # of a TIFF; a turned image has none
    white_is_0 = image.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == 0
    image = upright(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        pixels, alpha, note = _from_wide(image, white_is_0)
    else:
        alpha = None
        if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            alpha = _chw(rgba.getchannel("A"))
            # grey stays grey, as its colour profile is one for grey
            image = (image if image.mode in ("1", "L", "LA") else rgba).convert(
                "L" if image.mode in ("1", "L", "LA") else "RGB"
            )
        image, note = to_srgb(image)
        pixels = _chw(image)
    if alpha is not None and bool((alpha == 1).all()):
        alpha = None
    return Picture(pixels, alpha, name, (*notes, *note))


def upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """Apply the EXIF orientation; damaged EXIF is no reason to refuse a picture."""
    # reading EXIF costs as much as decoding a thumbnail; most pictures of a data set have none
    if image.format in ("JPEG", "WEBP") and not _MAY_ORIENT & image.info.keys():
        return image
    from PIL.Image import Transpose

    # not ImageOps.exif_transpose, which also rewrites the EXIF and fails where it is odd
    orientation = None
    with contextlib.suppress(Exception):
        orientation = image.getexif().get(_ORIENTATION)
    steps = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(steps[orientation]) if orientation in steps else image


def _from_wide(image: PIL.Image.Image, white_is_0: bool) -> tuple[Tensor, Tensor | None, list[str]]:
    """Pixels (3,H,W), alpha (1,H,W) or None, and notes of grey with more than 8 bits."""
    import numpy as np
    import torch

    grey = torch.from_numpy(np.array(image, dtype=np.float32))[None]
    alpha = None
    if "transparency" in image.info:  # one grey value that means transparent
        alpha = (grey != image.info["transparency"]).float()
    finite = grey[grey.isfinite()]
    top = finite.max().item() if finite.numel() else 0.0
    # only the type tells the scale of integers; floats are 0..1 by custom, overshoot included
    if image.mode == "F" and top <= 2:
        scale = 1.0
    elif image.mode == "F" and top <= 255:
        scale = 255.0
    else:
        scale = max(65535.0, top)
    note = [f"values up to {top:.6g}: the brightest became white"] if scale > 65535 else []
    grey = (grey.nan_to_num(nan=0.0) / scale).clamp(0, 1)
    if white_is_0:  # Pillow inverts 8 bits by itself
        grey = 1 - grey
    if "icc_profile" in image.info:
        pixels, more = _wide_to_srgb(grey[0], image.info["icc_profile"])
        return pixels, alpha, [*note, *more]
    return grey.expand(3, -1, -1).contiguous(), alpha, note


def _wide_to_srgb(grey: Tensor, profile: bytes) -> tuple[Tensor, list[str]]:
    """Grey (H,W) in 0..1 -> (3,H,W) in sRGB, and notes.

    LittleCMS takes bytes: what it makes of all 256, and between them the straight line.
    """
    import numpy as np
    import PIL.Image

    steps = PIL.Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps.info["icc_profile"] = profile
    converted, notes = to_srgb(steps)
    values = _chw(converted)[:, 0]  # (3,256)
    place = grey * 255
    below = place.long().clamp_max(254)
    return values[:, below].lerp(values[:, below + 1], place - below), notes


def _chw(image: PIL.Image.Image) -> Tensor:
    import numpy as np
    import torch

    array = np.array(image)
    array = array[..., None] if array.ndim == 2 else array
    # bytes into order before they become floats: a quarter of the memory
    return torch.from_numpy(array).permute(2, 0, 1).contiguous().float().div_(255)


def to_srgb(image: PIL.Image.Image) -> tuple[PIL.Image.Image, list[str]]:
    """RGB in sRGB by the embedded ICC profile, where there is one, and notes for the user."""
    profile = image.info.get("icc_profile")
    if profile:
        from PIL import ImageCms

        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            # palettes, and greys that an RGB editor saved, mean the colours of their profile
            if space == "RGB" and image.mode in ("1", "L", "P", "RGBX"):
                image = image.convert("RGB")
            elif space == "GRAY" and image.mode == "1":
                image = image.convert("L")
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        # the last one: Pillow was built without LittleCMS
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
            return image.convert("RGB"), ["the colour profile is unusable and was ignored"]
        if converted is not None:
            return converted, []
    return image if image.mode == "RGB" else image.convert("RGB"), []


def _from_array(array: np.ndarray) -> PIL.Image.Image:
    import PIL.Image

    shaped = array.ndim in (2, 3) and array.shape[2:] in ((), (3,), (4,))
    if not shaped or array.dtype != "uint8":
        raise ImageError(
            "a picture array must be (H,W), (H,W,3) or (H,W,4) uint8, "
            f"got {array.shape} {array.dtype}"
        )
    return PIL.Image.fromarray(array)


def _from_tensor(tensor: Tensor) -> Picture:
    if tensor.ndim == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3, 4) or 0 in tensor.shape:
        raise ImageError(f"a picture tensor must be (1|3|4,H,W) in 0..1, got {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        raise ImageError(f"a picture tensor must be floating point in 0..1, got {tensor.dtype}")
    tensor = tensor.detach().float().cpu()
    low, high = tensor.aminmax()
    if not (low >= 0 and high <= 1):  # also true for nan
        raise ImageError(f"a picture tensor must lie in 0..1, got {low:.3g}..{high:.3g}")
    alpha = tensor[3:] if tensor.shape[0] == 4 and tensor[3].min() < 1 else None
    return Picture(tensor[:3].expand(3, -1, -1).contiguous(), alpha, "image")


def resize(pixels: Tensor, long_side: int | None) -> Tensor:
    """Bring a picture (C,H,W) to a long side in pixels, antialiased; None keeps its size."""
    height, width = pixels.shape[1:]
    if long_side is None or max(height, width) == long_side:
        return pixels
    ratio = long_side / max(height, width)
    return to_size(pixels, (max(1, round(height * ratio)), max(1, round(width * ratio))))


def to_size(pixels: Tensor, size: Sequence[int]) -> Tensor:
    """Bring a picture or mask (C,H,W) in 0..1 to a height and a width, antialiased."""
    import torch.nn.functional as F

    if tuple(pixels.shape[1:]) == tuple(size):
        return pixels
    resized = F.interpolate(pixels[None], tuple(size), mode="bicubic", antialias=True)
    return resized[0].clamp_(0, 1)


def visible(picture: Picture) -> Tensor:
    """The pixels (3,H,W) of a picture, white where it is wholly transparent.

    What lies there is never seen, but would be painted, and counted as part of a style.
    """
    if picture.alpha is None:
        return picture.pixels
    return picture.pixels.masked_fill(picture.alpha == 0, 1.0)


def as_mask(picture: Picture) -> Tensor:
    """A picture as a mask (1,H,W) in 0..1: its lightness, and nothing where it is transparent."""
    light = picture.pixels.mean(0, keepdim=True)
    return light if picture.alpha is None else light * picture.alpha


def square(picture: Picture, size: int) -> Tensor:
    """The middle square of a picture, (3,size,size) in 0..1, on white where it is transparent."""
    height, width = picture.pixels.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    rows, columns = slice(top, top + side), slice(left, left + side)
    pixels = picture.pixels[:, rows, columns]
    if picture.alpha is not None:
        alpha = picture.alpha[:, rows, columns]
        pixels = pixels * alpha + (1 - alpha)
    return resize(pixels, size)


def to_pil(pixels: Tensor, alpha: Tensor | None = None) -> PIL.Image.Image:
    """A picture (3,H,W) or (1,H,W) in 0..1, with or without alpha, as an 8-bit PIL image.

    Raises:
        OutputError: the alpha is not (1,H,W).
    """
    import PIL.Image
    import torch

    if alpha is not None and tuple(alpha.shape) != (1, *pixels.shape[1:]):
        raise OutputError(
            f"a picture {tuple(pixels.shape)} cannot have an alpha {tuple(alpha.shape)}; "
            "the plugin's author should mend it"
        )
    planes = [*pixels] if alpha is None else [*pixels.expand(3, -1, -1), *alpha]
    array = torch.empty(*pixels.shape[1:], len(planes), dtype=torch.uint8)
    for i, plane in enumerate(planes):  # one at a time: large pictures are the rule here
        array[..., i] = plane.detach().float().cpu().clamp(0, 1).mul_(255).round_()
    return PIL.Image.fromarray((array[..., 0] if len(planes) == 1 else array).numpy())
