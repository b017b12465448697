"""A painting in some seven thousand brush strokes that follow a swirling flow."""

import numpy as np
from PIL import Image

from .common import Array, Rng, fbm, mix, noise, ramp, rgb, sample, to_image


def stroke(rng: Rng, canvas: Array, relief: Array, path: Array, wide: float, paint: Array) -> None:
    """Drag a brush along the path: bristles, two half-mixed paints, ragged ends, raised edges."""
    step = np.diff(path, axis=0, append=2 * path[-1:] - path[-2:-1])
    across = np.stack([-step[:, 1], step[:, 0]], axis=1)
    across /= np.hypot(*across.T)[:, None] + 1e-6
    t = np.linspace(-1, 1, int(wide * 1.5) + 2, dtype=np.float32)
    s = np.linspace(0, 1, len(path), dtype=np.float32)[:, None]
    hairs = rng.normal(size=t.shape).astype(np.float32)
    round_end = 0.10 * t**2 + 0.03 * np.abs(hairs)
    load = (s > round_end) & (s < 1 - round_end - 0.12 * np.abs(np.roll(hairs, 1)))
    load &= ~((hairs > 1.1) & (s > 0.55 + 0.2 * hairs - 0.2))
    swell = wide / 2 * (0.75 + 0.25 * np.sin(np.pi * s))
    points = path[:, None] + across[:, None] * (t * swell)[..., None]
    y, x = (points[load] + 0.5).astype(np.int32).T
    keep = (y >= 0) & (x >= 0) & (y < canvas.shape[0]) & (x < canvas.shape[1])
    y, x = y[keep], x[keep]
    blend = np.clip(0.5 + 0.6 * t * rng.choice([-1, 1]) + 0.28 * hairs, 0, 1) + 0 * s
    tint = mix(paint[0], paint[1], blend) * (1 + 0.07 * hairs * (0.4 + s))[..., None]
    bump = 0.55 + 0.45 * np.abs(t) ** 3 + 0.22 * hairs + 0.5 * ramp(0.75, 0.95, s)
    canvas[y, x] = tint[load][keep]
    relief[y, x] = 0.35 * relief[y, x] + (bump * np.minimum(1, (1 - t**8)))[load][keep]


def trace(flow: Array, start: Array, steps: int) -> Array:
    """Follow the flow from each start, one pixel a step: (steps, strokes, 2)."""
    path = [start]
    for _ in range(steps - 1):
        path.append(path[-1] + sample(flow, path[-1][:, 0], path[-1][:, 1]))
    return np.stack(path)


WHIRLS = (  # row, column, radius, strength and sense
    (0.30, 0.34, 0.20, 1.5),
    (0.66, 0.74, 0.17, -1.3),
    (0.20, 0.86, 0.10, 0.8),
    (0.80, 0.22, 0.12, 0.9),
)
PAINTS = rgb("12205c 1d3f94 2f6fb5 7fb5c4 f4e6c0 eeb53a d98324 c93a22 5c1a2c 1b2a6b")


def swirl(rng: Rng, size: int) -> tuple[Array, Array]:
    """A stream function with whirls, and the unit flow along its level lines."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    stream = 1.5 * (x * 0.5 + y) + 0.34 * noise(rng, size, size, 3)
    for cy, cx, r, power in WHIRLS:
        stream += power * np.exp(-((np.hypot(y - cy, x - cx) / r) ** 1.3))
    gy, gx = np.gradient(stream)
    flow = np.stack([-gx, gy], axis=-1)
    return stream, flow / (np.linalg.norm(flow, axis=-1, keepdims=True) + 1e-9)


def pattern(rng: Rng, size: int) -> Image.Image:
    """Paint the pattern in four passes, broad strokes first, at twice its size."""
    n = 2 * size
    stream, flow = swirl(rng, n)
    band = 3.1 * stream + 0.35 * fbm(rng, n, n, 5, 3)
    canvas, relief = PAINTS[np.floor(2 * band).astype(int) % len(PAINTS)] * 0.8, np.zeros_like(band)
    unit = n / 1536
    for count, length, wide in ((900, 200, 44), (2200, 150, 26), (2600, 110, 18), (1200, 80, 11)):
        start = rng.uniform(-0.05, 1.05, (count, 2)).astype(np.float32) * n
        paths = trace(flow, start, int(length * unit))
        for k in range(count):
            path = paths[: int(len(paths) * rng.uniform(0.6, 1)), k]
            here = sample(band, *path[len(path) // 2])
            tone = (here + rng.normal(0, 0.28, 2)) * 2
            pair = PAINTS[np.floor(tone).astype(int) % len(PAINTS)] * rng.uniform(0.85, 1.12)
            stroke(rng, canvas, relief, path, wide * unit * rng.uniform(0.7, 1.25), pair)
    gy, gx = np.gradient(relief)
    light = np.clip(1 - 0.34 * (gx + gy), 0.55, 1.4)[..., None]
    shine = ramp(0.5, 1.6, -(gx + gy))[..., None] * 0.16
    return to_image(canvas * light + shine).resize((size, size), Image.Resampling.LANCZOS)
