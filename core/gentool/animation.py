"""Pictures in time as bytes of a file: WebP and GIF by Pillow, MP4 by PyAV, an extra."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gentool import encoding
from gentool.cards import ANIMATION_SUFFIXES
from gentool.errors import ImageError, OutputError

if TYPE_CHECKING:
    import PIL.Image


def check_suffix(suffix: str) -> None:
    """Refuse what cannot be written here.

    Raises:
        OutputError: a suffix of no animation, or one that needs a package.
    """
    if suffix.lower() not in ANIMATION_SUFFIXES:
        raise OutputError(
            f"an animation is written as {' or '.join(ANIMATION_SUFFIXES)}, not '{suffix}'"
        )
    if suffix.lower() == ".mp4" and not importlib.util.find_spec("av"):
        raise OutputError(".mp4 needs PyAV: pip install 'gentool-core[video]', or take .webp")


def encode(
    frames: Sequence[PIL.Image.Image],
    fps: float,
    suffix: str,
    metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """An animation's bytes, with provenance inside where the format has room for it.

    Args:
        frames: of one size and mode; alpha is laid on white in MP4.
        fps: frames a second, from 0.1 to 100.
        suffix: one of :data:`ANIMATION_SUFFIXES`. WebP and GIF repeat for ever.
        metadata: provenance; GIF holds none.

    Raises:
        OutputError: no such suffix, no frames, frames of several sizes, too slow, too fast or too
            large, or what the encoder says.
    """
    check_suffix(suffix)
    if not frames or len({frame.size for frame in frames}) > 1:
        raise OutputError("an animation needs frames, all of one size")
    encoding.check_sides(frames[0].size, suffix, "make it smaller")
    if not 0.1 <= fps <= 100:
        raise OutputError(f"an animation has 0.1 to 100 frames a second, not {fps:g}")
    write = _mp4 if suffix.lower() == ".mp4" else _pillow
    buffer = io.BytesIO()
    try:
        write(buffer, frames, fps, suffix.lower(), metadata)
    except (OSError, ValueError, RuntimeError) as e:  # encoders raise any of them
        raise OutputError(f"cannot write the animation as {suffix}: {e}") from e
    return buffer.getvalue()


def inspect(path: str | Path) -> dict[str, Any]:
    """Format, size and provenance of an MP4 file, for ``gentool info``; nothing is decoded.

    Raises:
        ImageError: not an MP4 file, or PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise ImageError(f"{path}: .mp4 needs PyAV: pip install 'gentool-core[video]'") from None
    try:
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            return {
                "file": Path(path).name,
                "format": "MP4",
                "width": stream.width,
                "height": stream.height,
                "frames": stream.frames,
                "made_with": encoding.provenance(file.metadata.get("comment", "")),
            }
    except (av.FFmpegError, OSError, IndexError) as e:
        raise ImageError(f"{path}: not a video that can be read") from e


def _pillow(
    buffer: io.BytesIO,
    frames: Sequence[PIL.Image.Image],
    fps: float,
    suffix: str,
    metadata: Mapping[str, Any] | None,
) -> None:
    options: dict[str, Any] = {}
    delay = round(1000 / fps)  # milliseconds
    if suffix == ".gif":  # holds hundredths, which Pillow cuts; players slow down those below two
        delay = max(20, 10 * round(100 / fps))
    if metadata and suffix == ".webp":
        options["exif"] = encoding.exif(metadata)
    frames[0].save(
        buffer,
        suffix[1:],
        save_all=True,
        append_images=frames[1:],
        duration=delay,
        loop=0,
        **options,
    )


def _mp4(
    buffer: io.BytesIO,
    frames: Sequence[PIL.Image.Image],
    fps: float,
    _suffix: str,
    metadata: Mapping[str, Any] | None,
) -> None:
    """H.264 in 4:2:0, which every player shows and which needs even sides."""
    import av
    import numpy as np
    import PIL.Image

    try:
        with av.open(buffer, "w", format="mp4") as file:
            if metadata:
                file.metadata["comment"] = json.dumps(metadata)
            rate, options = Fraction(fps).limit_denominator(1000), {"crf": "16", "preset": "medium"}
            stream = file.add_stream("libx264", rate=rate, options=options)
            width, height = frames[0].size
            stream.width, stream.height = width + width % 2, height + height % 2
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                opaque = PIL.Image.new("RGB", frame.size, "white")
                opaque.paste(frame, mask=frame.getchannel("A") if frame.mode == "RGBA" else None)
                even = np.pad(np.asarray(opaque), ((0, height % 2), (0, width % 2), (0, 0)), "edge")
                file.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            file.mux(stream.encode())
    except av.FFmpegError as e:  # most are no error that Python knows
        raise OutputError(f"cannot write the animation as .mp4: {e}") from e
