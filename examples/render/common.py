"""What the pictures share: colours, noise, look-ups and how a picture is written."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]  # float32 throughout
Rng = np.random.Generator


def rgb(codes: str) -> Array:
    """Hex colours such as "e8a33d 12205c" as rows of floats between 0 and 1."""
    return np.array([list(bytes.fromhex(code)) for code in codes.split()], np.float32) / 255


def ramp(low: float, high: float, x: Array) -> Array:
    """Smooth step: 0 below low, 1 above high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Array, b: Array, weight: Array) -> Array:
    """Blend colours a and b by a weight that lacks their last axis."""
    return a + (b - a) * weight[..., None]


def noise(rng: Rng, height: int, width: int, cells: float) -> Array:
    """Smooth noise about 0 with that many bumps across the width."""
    rows, cols = int(cells * height / width) + 2, int(cells) + 2
    knots = Image.fromarray(rng.normal(size=(rows, cols)).astype(np.float32))
    box = (0.5, 0.5, cells + 0.5, cells * height / width + 0.5)
    return np.asarray(knots.resize((width, height), Image.Resampling.BICUBIC, box))


def fbm(rng: Rng, height: int, width: int, cells: float, octaves: int) -> Array:
    """Fractal noise: octaves of doubling frequency and halving strength."""
    return sum(noise(rng, height, width, cells * 2**i) / 2**i for i in range(octaves))


def sample(field: Array, y: Array, x: Array) -> Array:
    """Bilinear look-up, clamped at the field's border."""
    y, x = np.clip(y, 0, field.shape[0] - 1.01), np.clip(x, 0, field.shape[1] - 1.01)
    i, j = y.astype(np.int32), x.astype(np.int32)
    v, u = y - i, x - j
    if field.ndim == 3:
        v, u = v[..., None], u[..., None]
    top = field[i, j] * (1 - u) + field[i, j + 1] * u
    return top * (1 - v) + (field[i + 1, j] * (1 - u) + field[i + 1, j + 1] * u) * v


def to_image(colour: Array) -> Image.Image:
    """Float colours as an 8-bit picture, highlights rolled off softly."""
    soft = np.where(colour > 0.8, 0.8 + 0.2 * np.tanh((colour - 0.8) / 0.2), colour)
    return Image.fromarray((np.clip(soft, 0, 1) * 255 + 0.5).astype(np.uint8))


def save(picture: Image.Image, path: Path, limit: int) -> None:
    """Write a JPEG, at the best quality up to 90 that keeps it below that many bytes."""
    for quality in range(90, 60, -2):
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=quality, optimize=True, progressive=True)
        if data.tell() <= limit:
            break
    path.write_bytes(data.getvalue())
    print(f"{path}: {picture.width}x{picture.height}, {data.tell() // 1000} kB, q{quality}")
