"""Pictures out: bytes of a file with gentool's provenance inside, and none of the source's EXIF."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gentool.errors import OutputError, did_you_mean
from gentool.images import opened

if TYPE_CHECKING:
    import PIL.Image

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    # run lengths only (zlib's Z_RLE): 40 % of the default's time and a little smaller on paintings
    "PNG": {"compress_level": 1, "compress_type": 3},
    # without "optimize", which fails on noise: Pillow gives it too small a buffer
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 92, "method": 4},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
# sides that encoders take, pixels
_LONGEST = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383, ".gif": 65_535, ".mp4": 16_384}
_DESCRIPTION = 0x010E  # EXIF ImageDescription: the one text field that all these formats share
_SOFTWARE = 0x0131


def check_suffix(suffix: str) -> None:
    """Refuse a suffix that gentool does not write.

    Raises:
        OutputError: with the suffixes there are.
    """
    if suffix.lower() not in _FORMATS:
        raise OutputError(
            f"gentool writes {' '.join(_FORMATS)}, not '{suffix}'"
            f"{did_you_mean(suffix.lower(), _FORMATS)}"
        )


def check_sides(size: tuple[int, int], suffix: str, remedy: str) -> None:
    """Refuse a picture of width and height that a format does not hold.

    Raises:
        OutputError: it is larger, with the remedy.
    """
    longest = _LONGEST.get(suffix.lower())
    if longest and max(size) > longest:
        raise OutputError(
            f"a {suffix} takes up to {longest:,} pixels a side, and this is "
            f"{size[0]}x{size[1]}; {remedy}"
        )


def encode(image: PIL.Image.Image, suffix: str, metadata: Mapping[str, Any] | None = None) -> bytes:
    """A picture file's bytes, best quality of its format, with provenance inside.

    Args:
        image: RGB, RGBA or L.
        suffix: ``.png``, ``.jpg`` ...
        metadata: provenance, read back by :func:`read_metadata`; BMP holds none.

    Raises:
        OutputError: an unknown suffix, or a picture larger than the format allows.
    """
    import PIL.Image

    check_suffix(suffix)
    format_ = _FORMATS[suffix.lower()]
    check_sides(image.size, suffix, "take .png")
    options = dict(_SAVE_OPTIONS.get(format_, {}))
    if image.mode == "RGBA" and format_ in ("JPEG", "BMP"):  # neither holds alpha
        white = PIL.Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    if metadata and format_ != "BMP":
        options["exif"] = exif(metadata)
    buffer = io.BytesIO()
    try:
        image.save(buffer, format_, **options)
    except (OSError, ValueError) as e:
        hint = "; leave the metadata out or take .png" if "EXIF" in str(e) else ""
        raise OutputError(
            f"cannot write {image.width}x{image.height} as {format_}: {e}{hint}"
        ) from e
    return buffer.getvalue()


def exif(metadata: Mapping[str, Any]) -> PIL.Image.Exif:
    """Provenance as the EXIF that :func:`read_metadata` reads."""
    import PIL.Image

    tags = PIL.Image.Exif()
    tags[_SOFTWARE] = "gentool"
    tags[_DESCRIPTION] = json.dumps(metadata, ensure_ascii=True)
    return tags


def read_metadata(path: str | Path) -> dict[str, Any] | None:
    """The provenance inside a picture that gentool wrote, or None.

    Raises:
        ImageError: not a picture.
    """
    with opened(Path(path), allow_large=True) as image:
        return _made_with(image)


def _made_with(image: PIL.Image.Image) -> dict[str, Any] | None:
    # gentool's EXIF lies before the pixels; looking behind them would decode a PNG
    if image.format == "PNG" and "exif" not in image.info:
        return None
    try:
        return provenance(image.getexif().get(_DESCRIPTION, ""))
    except Exception:  # a stranger's picture holds anything
        return None


def provenance(text: str) -> dict[str, Any] | None:
    """What gentool wrote about how a file was made; None if the text is anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "gentool" in found else None


def inspect(path: str | Path) -> dict[str, Any]:
    """Format, size, mode and provenance of a picture file, for ``gentool info``.

    Nothing is decoded, so it is cheap on pictures of any size.

    Raises:
        ImageError: not a picture.
    """
    with opened(Path(path), allow_large=True) as image:
        return {
            "file": Path(path).name,
            "format": image.format,
            "width": image.width,
            "height": image.height,
            "mode": image.mode,
            "made_with": _made_with(image),
        }
