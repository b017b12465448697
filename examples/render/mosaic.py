"""A mosaic of glass and stone: sun, waves and leaves in tesserae laid in rows along each shape."""

import numpy as np
from PIL import Image

from .common import Array, Rng, fbm, mix, noise, ramp, rgb, to_image
from .tesserae import cells, distance, inset, lay

ROW = 11.2 / 768  # height of a row of tesserae, as a part of the picture's side
GROUT = rgb("2b241f")[0]


PALETTES = [
    rgb("0d2f55 11506e 1c7a86 4ba59b 97cbb2 e3dfb4"),  # 0 sky, far to near the sun
    rgb("f9df85 f4c446 e9a42c e08b2a fbeab2"),  # 1 sun
    rgb("c9572f b4452a dd7a3f e9a04c a33a24"),  # 2 rays, terracotta
    rgb("efe4c8 e6d3a8 f6efdc dcc79a fbf6e8"),  # 3 foam, ivory
    rgb("7cc9b8 3ba6a0 1d7f88 0f5f74 0b4560"),  # 4 waves, teal
    rgb("6aa347 2f7f42 1a5f39 114733 0b3329"),  # 5 leaves
    rgb("e8bf5a d9a53a f0d588 c98f2d f6e2a4"),  # 6 gold: rays, ribs, stem
    rgb("4f9fc0 236f9d 164f80 0f3866 0c2a52"),  # 7 waves, blue
    rgb("a6c987 4c9c78 1f7a5e 135a4c 0d443f"),  # 8 waves, green
]
DEEPENING = 4, 5, 7, 8  # materials that go from light to dark within their shape
SUN = 0.30, 0.35
WAVES = (  # height, swell, waves across, phase, material
    (0.630, 0.040, 1.3, 0.02, 7),
    (0.705, 0.045, 1.6, 0.58, 4),
    (0.790, 0.045, 1.5, 0.08, 8),
    (0.870, 0.042, 1.8, 0.66, 7),
    (0.950, 0.040, 1.6, 0.20, 4),
)


def sunburst(out: Array, y: Array, x: Array) -> None:
    """Set the sun: a disc, a ring, and two wreaths of bent rays."""
    r, a = np.hypot(y - SUN[0], x - SUN[1]), np.arctan2(y - SUN[0], x - SUN[1])
    ray = np.cos(12 * a + 9 * r)
    out[r < 0.22 + 0.16 * (0.5 + 0.5 * ray) ** 1.5] = 2
    out[r < 0.19 + 0.10 * (0.5 - 0.5 * ray) ** 1.5] = 6
    out[r < 0.17] = 12
    out[r < 0.131] = 1


def vine(out: Array, y: Array, x: Array) -> None:
    """Hang a vine from the top right, with a leaf to either side in turn."""
    t = np.linspace(0, 1, 90)
    stem = np.stack([0.60 * t - 0.02, 0.86 + 0.075 * np.sin(5.2 * t + 0.4)], axis=1)
    along = np.gradient(stem, axis=0)
    side = 1
    for k, at in enumerate((6, 20, 34, 48, 62, 76, 88)):
        side, (row, col) = -side, stem[at]
        turn = np.arctan2(*along[at]) + (0.0 if k == 6 else 0.95 * side)
        long = 0.205 - 0.010 * k
        u = ((x - col) * np.cos(turn) + (y - row) * np.sin(turn)) / long
        v = ((y - row) * np.cos(turn) - (x - col) * np.sin(turn)) / long
        s = np.clip(u, 0, 1)
        v = v - 0.10 * side * np.sin(np.pi * s)
        out[(np.abs(v) < 0.27 * np.sin(np.pi * s**0.75)) & (u > 0) & (u < 1)] = 5 + 10 * k
        out[(np.abs(v) < 0.007 / long) & (u > 0) & (u < 0.72)] = 6
    for row, col in stem:
        out[np.hypot(y - row, x - col) < 0.0075] = 6


def shapes(rng: Rng, n: int) -> Array:
    """Which material each pixel is laid in: an index above, plus ten for each separate shape."""
    y, x = np.mgrid[0:n, 0:n].astype(np.float32) / n
    out = np.zeros((n, n), np.int32)
    sunburst(out, y, x)
    vine(out, y, x)
    wander = 0.010 * noise(rng, n, n, 3)
    for k, (height, swell, count, phase, material) in enumerate(WAVES):
        angle = 2 * np.pi * (x * count + phase)
        crest = height + wander - swell * (np.sin(angle) - 0.22 * np.cos(2 * angle))
        slope = np.hypot(1, np.gradient(crest, axis=1) * n)
        below = (y - crest) / slope / ROW
        out[below > 0] = 3 + 10 * k
        out[below > 1] = 103 + 10 * k
        out[below > 2] = material + 10 * k
    return out


def glaze(rng: Rng, points: Array, own: Array, n: int) -> Array:
    """A colour for each tessera: its material's, shifting with its row and from piece to piece."""
    drift = fbm(rng, n, n, 5, 3)
    i, j = np.clip(points, 0, n - 1).astype(int).T
    course, out = own[:, 0] % 1000, np.zeros((len(points), 3), np.float32)
    for kind, paints in enumerate(PALETTES):
        mine = own[:, 1] % 10 == kind
        tone = course * 0.55 + 0.9 * drift[i, j] + rng.normal(0, 0.55, len(points))
        if kind == 0:
            near = np.hypot(i / n - SUN[0], j / n - SUN[1])
            tone = 6.9 - 9.5 * near + 0.5 * drift[i, j] + rng.normal(0, 0.5, len(points))
        elif kind in DEEPENING:
            tone = course * 0.95 + 0.25 * drift[i, j] + rng.normal(0, 0.45, len(points))
        pick = np.clip(np.abs(tone), 0, len(paints) - 1)
        out[mine] = paints[np.round(pick).astype(int)][mine]
    return out * rng.normal(1.06, 0.09, (len(points), 1)) + rng.normal(0, 0.018, out.shape)


def mosaic(rng: Rng, size: int) -> Image.Image:
    """Lay the mosaic at its size, and light it at twice that."""
    n, row = 2 * size, ROW * size
    part = shapes(rng, n)
    half = part[::2, ::2]
    edge = (half != np.roll(half, 1, 0)) | (half != np.roll(half, 1, 1))
    edge[0], edge[:, 0] = False, False
    depth = distance(edge)
    points, own = lay(rng, half, depth, row)
    fine = Image.fromarray(depth).resize((n, n), Image.Resampling.BILINEAR)
    key = np.floor(np.asarray(fine) / row).astype(np.int32) + 1000 * part
    label = cells(2 * points, own, key, part, int(3.2 * row))
    deep = inset(label, 6)
    colour = glaze(rng, points, own, size)[label]
    y, x = np.mgrid[0:n, 0:n].astype(np.float32)
    tilt = rng.normal(0, 0.011, (len(points), 2)).astype(np.float32)[label]
    lean = tilt[..., 0] * (y - 2 * points[label, 0]) + tilt[..., 1] * (x - 2 * points[label, 1])
    grain = fbm(rng, n, n, 190, 3)
    gy, gx = np.gradient(deep)
    bevel = np.where(deep < 5, -(gx + gy), 0)
    colour = colour * (1 + lean + 0.02 * grain - 0.12 * bevel)[..., None]
    grout = GROUT * (1 + 0.25 * grain)[..., None]
    body = mix(grout, colour, ramp(0.4, 1.6, deep + 0.25 * grain))
    return to_image(body).resize((size, size), Image.Resampling.LANCZOS)
