"""JPEG, which most photographs are, decoded by libjpeg-turbo directly where that is installed."""

from __future__ import annotations

import PIL.Image
import torch
from torch import Tensor

try:
    import simplejpeg
except ImportError:  # of the extra [train]
    simplejpeg = None

# what makes a picture more than its pixels is left to Pillow: orientation and colour profiles
_MORE = (b"Exif\0", b"ICC_PROFILE\0", b"http://ns.adobe.com/xap/")
_PLAIN = ("YCbCr", "Gray")


def decode(data: bytes) -> Tensor | None:
    """Pixels (H,W,3) uint8, bit for bit Pillow's in an eighth (32 px) to a half of its time.

    None of everything else: other formats, pictures that must be turned or converted, damaged
    ones, and those above Pillow's limit for decompression bombs.
    """
    if simplejpeg is None or data[:3] != b"\xff\xd8\xff" or any(mark in data for mark in _MORE):
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space not in _PLAIN or height * width > (PIL.Image.MAX_IMAGE_PIXELS or 0):
            return None
        # the accurate transforms, which Pillow takes as well
        rows = simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False)
    except ValueError:  # Pillow says what is wrong with it
        return None
    return torch.from_numpy(rows)
