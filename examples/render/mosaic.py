"""A mosaic of glass and stone: sun, waves and leaves in tesserae laid in rows along each shape."""

import numpy as np
from PIL import Image

from .common import Array, Rng, fbm, mix, noise, ramp, rgb, to_image

ROW = 11.2 / 768  # height of a row of tesserae, as a part of the picture's side
GROUT = rgb("2b241f")[0]


def leaf(y: Array, x: Array, at: tuple[float, float], turn: float, long: float) -> Array:
    """Signed measure of a leaf that grows from a point: above 0 inside, 1 along its midrib."""
    u = ((x - at[1]) * np.cos(turn) + (y - at[0]) * np.sin(turn)) / long
    v = ((y - at[0]) * np.cos(turn) - (x - at[1]) * np.sin(turn)) / long
    v = v - 0.16 * np.sin(np.pi * np.clip(u, 0, 1))
    half = 0.21 * np.sin(np.pi * np.clip(u, 0, 1) ** 0.8)
    return np.where((u > 0) & (u < 1), 1 - np.abs(v) / np.maximum(half, 1e-4), -1)


LEAVES = (  # where it grows from (row, column), direction, length
    (0.10, 0.985, 2.55, 0.30),
    (0.26, 0.945, 3.45, 0.25),
    (0.30, 0.93, 2.25, 0.31),
    (0.47, 0.90, 3.30, 0.25),
)
PALETTES = [
    rgb("0b3d4c 14606b 1f7f83 3fa09a 7cc0b0"),  # 0 sky, far to near the sun
    rgb("f6d36a f0b93a e39a28 d8892a f7e3a0"),  # 1 sun
    rgb("c9572f b4452a dd7a3f e9a04c a33a24"),  # 2 rays, terracotta
    rgb("efe4c8 e6d3a8 f6efdc dcc79a fbf6e8"),  # 3 foam, ivory
    rgb("0a3a52 0f5468 1b7480 2d8f92 5fb3a9"),  # 4 waves
    rgb("12402c 1d5a36 2f7440 0c3024 55924c"),  # 5 leaves
    rgb("d9a53a e8bf5a b98227 f0d588 cf9430"),  # 6 gold: midribs, stems
]


def shapes(rng: Rng, n: int) -> Array:
    """Which material each pixel is laid in: an index above, plus ten for each separate shape."""
    y, x = np.mgrid[0:n, 0:n].astype(np.float32) / n
    wob = 0.012 * noise(rng, n, n, 4)
    out = np.zeros((n, n), np.int32)
    r = np.hypot(y - 0.30, x - 0.36)
    a = np.arctan2(y - 0.30, x - 0.36)
    ray = 0.5 + 0.5 * np.cos(12 * a + 9 * r)
    out[(r < 0.22 + 0.16 * ray**1.5)] = 2
    ray = 0.5 + 0.5 * np.cos(12 * a + 9 * r + np.pi)
    out[(r < 0.19 + 0.10 * ray**1.5)] = 6
    out[r < 0.17] = 12
    out[r < 0.13] = 1
    for k in range(5):
        crest = 0.60 + 0.095 * k + wob
        crest += (0.055 - 0.004 * k) * np.sin(2 * np.pi * (x * (1.15 + 0.12 * k) + 0.37 * k))
        out[y > crest] = 3 + 10 * k
        out[y > crest + 0.034] = 4 + 10 * k
    for k, (row, col, turn, long) in enumerate(LEAVES):
        inside = leaf(y, x, (row, col), turn, long)
        out[inside > 0] = 5 + 10 * k
        out[inside > 0.86] = 6 + 10 * k
    return out


def distance(edge: Array) -> Array:
    """Distance of every pixel from the nearest marked one, by jump flooding."""
    n = len(edge)
    y, x = np.mgrid[0:n, 0:n].astype(np.float32)
    sy, sx = np.where(edge, y, -1e4), np.where(edge, x, -1e4)
    best = np.hypot(sy - y, sx - x)
    jump = 1 << (n - 1).bit_length()
    while jump > 1:
        jump //= 2
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)):
            dy, dx = dy * jump, dx * jump
            to = np.s_[max(0, -dy) : n - max(0, dy), max(0, -dx) : n - max(0, dx)]
            of = np.s_[max(0, dy) : n - max(0, -dy), max(0, dx) : n - max(0, -dx)]
            d = np.hypot(sy[of] - y[to], sx[of] - x[to])
            closer = d < best[to]
            for field, value in ((sy, sy[of]), (sx, sx[of]), (best, d)):
                field[to][closer] = value[closer]
    return best
