"""Render the sample pictures: a landscape to restyle and a painting to take the style from.

Everything is computed here from fixed seeds; no picture from elsewhere is used. The landscape is
a height field seen through a pinhole camera, and once more, mirrored, in the lake before it. The
pattern is some seven thousand brush strokes that follow a swirling flow. It takes half a minute.

    python examples/make_pictures.py --out examples
"""

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Array = NDArray[Any]  # float32 throughout
Rng = np.random.Generator

MAX_BYTES = 245_000
GRID = 2048  # cells along each side of the height field
NEAR, CAMERA = 150.0, 26.0  # where the height field starts, and the eye's height above the lake
FIRS = ((0.84, 0.22), (0.165, 0.27), (0.885, 0.36), (0.115, 0.4), (0.045, 0.6), (0.955, 0.66))


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


# --- the landscape ---------------------------------------------------------------------------


def terrain(rng: Rng) -> Array:
    """Ridged mountains around a valley; rows go away from the eye, heights below 0 are lake."""
    z, x = np.mgrid[0:GRID, 0:GRID].astype(np.float32)
    total, weight = np.zeros_like(x), np.ones_like(x)
    for octave in range(9):
        crest = (1 - 1.25 * np.abs(noise(rng, GRID, GRID, 5.3 * 2**octave))) * weight
        total += crest / 1.95**octave
        weight = np.clip(0.8 * crest + 0.35, 0.25, 1)
    total = sample(total, *(axis + 22 * fbm(rng, GRID, GRID, 9, 3) for axis in (z, x)))
    spur = np.abs(x - GRID / 2 + 165 * np.sin(z / 103 + 0.5)) / GRID + 0.01 * total
    shore = ramp(0.08, 0.21, spur + 0.2 * ramp(850, 1150, z)) * ramp(230, 330, z)
    hills = shore * (34 + 150 * ramp(0.05, 0.4, np.abs(x / GRID - 0.5))) * (0.8 + 0.25 * total)
    peak = 1.0 * np.exp(-(((z - 1500) / 260) ** 2) - ((x - GRID / 2 - 215) / 200) ** 2)
    far = ramp(800, 1550, z) * ramp(GRID, 1800, z)
    return hills + far * (50 + 150 * (total + 0.4) * (0.75 + peak) + 60 * peak) - 8


def paint_terrain(rng: Rng, ground: Array) -> Array:
    """Bake rock, snow, meadow and sunlight from the left, one colour for each cell."""
    dz, dx = np.gradient(ground)
    up = 1 / np.sqrt(1 + dx**2 + dz**2)
    patches = fbm(rng, GRID, GRID, 40, 6)
    rock = mix(*rgb("57504f a39389"), ramp(-1.4, 1.4, patches))
    meadow = mix(*rgb("3c4a22 7d7a34"), ramp(-1, 1.3, patches))
    colour = mix(rock, meadow, ramp(0.5, 0.75, up + 0.08 * patches) * ramp(190, 110, ground))
    snow = ramp(150, 235, ground + 25 * patches) * ramp(0.24, 0.44, up + 0.05 * patches)
    colour = mix(colour, rgb("f9f7f6")[0], snow)
    tilted = ground + 0.40 * np.arange(GRID, dtype=np.float32)
    shade = ramp(16, 0, np.maximum.accumulate(tilted, axis=1) - tilted)
    sun = np.clip((0.80 * dx + 0.30 * dz + 0.45) * up, 0, 1) * shade
    ambient = rgb("3d4f80")[0] * (0.55 + 0.5 * up[..., None])
    return colour * (ambient + sun[..., None] * np.array([1.85, 1.42, 1.00], np.float32))


def forest(z: Array, x: Array) -> tuple[Array, Array]:
    """Height (0 to 1) of the fir that stands over a point, and how far it faces the sun."""
    tall, facing = np.zeros_like(x), np.zeros_like(x)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            i, j = np.floor(z / 3.8) + di, np.floor(x / 3.8) + dj
            jitter = [np.sin(i * a + j * b) * 43758.5 % 1 for a, b in ((12.9, 78.2), (39.3, 11.1))]
            oz, ox = z / 3.8 - i - jitter[0], x / 3.8 - j - jitter[1]
            cone = (0.5 + 0.5 * jitter[1]) * (1 - np.hypot(oz, ox) / 0.75)
            cone = np.maximum(cone, 0) ** 1.3
            facing = np.where(cone > tall, -ox, facing)
            tall = np.maximum(tall, cone)
    return tall.astype(np.float32), facing.astype(np.float32)


def sky(slope: Array, across: Array) -> Array:
    """Evening sky for each slope (rise per unit of distance) and sideways direction."""
    v, u = np.meshgrid(np.maximum(slope, 0), across, indexing="ij")
    colour = mix(*rgb("f6c48a 8fb4cf"), ramp(0.0, 0.28, v))
    colour = mix(colour, rgb("2b5a99")[0], ramp(0.16, 0.60, v))
    glow = np.exp(-np.hypot(u + 0.30, (v - 0.17) * 1.3) / 0.16)
    field = fbm(np.random.default_rng(11), GRID, GRID, 6, 8)  # the same clouds at every call
    depth = 1 / (v + 0.16)
    at = 40 + 320 * depth, GRID / 2 + 320 * u * depth
    cloud = sample(field, *at)
    lit = ramp(-0.2, 0.9, cloud - sample(field, at[0] + 18, at[1] - 24) + 0.25)
    body = mix(*rgb("8d7f9b fff1dc"), lit)
    colour = mix(colour, body, 0.92 * ramp(0.1, 1.0, cloud) * ramp(0.0, 0.1, v))
    return colour + glow[..., None] * np.array([1.0, 0.72, 0.36], np.float32)


class Valley:
    """The height field with its colours, to be seen from above the lake and mirrored in it."""

    def __init__(self, rng: Rng, width: int) -> None:
        self.ground = terrain(rng)
        self.colour = paint_terrain(rng, self.ground)
        self.focal = 0.92 * width
        self.across = ((np.arange(width) - width / 2) / self.focal).astype(np.float32)
        self.depth = np.geomspace(NEAR, GRID - 2, 1500).astype(np.float32)
        z = np.broadcast_to(self.depth[:, None], (1500, width))
        x = GRID / 2 + z * self.across
        low = sample(self.ground, z, x)
        wooded = ramp(150, 60, low) * (low > 0.5)
        self.surface = np.where(low > 0, low + 13 * forest(z, x)[0] * wooded, -1e4)

    def look(self, slope: Array, eye: float) -> tuple[Array, Array]:
        """Colours and depths for rows of rays with these slopes from that eye height."""
        seen = np.ascontiguousarray(((self.surface - eye) / self.depth[:, None]).T)
        seen[:, -1] = 1e9  # a ray that meets nothing ends here
        end = len(self.depth) - 1
        leaves = -eye / np.maximum(slope, 1e-6)  # a mirrored ray comes out of the lake there
        first = np.minimum(np.searchsorted(self.depth, leaves), end)
        rays = zip(first, slope, strict=True)
        hit = np.stack([i + np.argmax(seen[:, i:] >= v, axis=1) for i, v in rays])
        land = hit < end
        col = np.arange(len(self.across))
        before, after = seen[col, np.maximum(hit - 1, 0)], seen[col, hit]
        part = np.clip((after - slope[:, None]) / np.maximum(after - before, 1e-9), 0, 1)
        far = self.depth[hit] - part * (self.depth[hit] - self.depth[np.maximum(hit - 1, 0)])
        colour = sky(slope, self.across)
        colour[land] = self.shade(far[land], self.across[np.nonzero(land)[1]])
        return colour, np.where(land, far, np.float32(1e9))

    def shade(self, depth: Array, across: Array) -> Array:
        """Colour of the land at these places, with its woods, mist and haze."""
        x = GRID / 2 + depth * across
        ground, colour = sample(self.ground, depth, x), sample(self.colour, depth, x)
        tall, facing = forest(1.0012 * depth, x)  # a little inside the tree's skin
        fir = mix(*rgb("0a1614 2c4226"), np.clip(tall, 0, 1))
        fir = fir + ramp(-0.1, 0.5, 0.8 * facing)[..., None] * np.array(
            [0.30, 0.24, 0.07], np.float32
        )
        fir *= 0.55 + 1.3 * colour.mean(axis=-1, keepdims=True)
        colour = mix(colour, fir, 0.95 * ramp(150, 60, ground))
        mist = 0.75 * ramp(350, 1100, depth) * np.exp(-ground / 45)
        haze = mix(*rgb("f3cfa6 8ea9c6"), ramp(-0.45, 0.30, across))
        return mix(colour, haze, 1 - np.exp(-((depth / 2300) ** 1.5) - mist))


def lake(rng: Rng, view: Array, mirror: Array, water: Array, horizon: int) -> Array:
    """Lay the mirrored view on the water, broken by ripples that widen towards the eye."""
    height, width = water.shape
    rows = np.arange(1, height - horizon + 1, dtype=np.float32)
    field = fbm(rng, 1024, 1024, 150, 3)
    near = 9e4 / (rows[:, None] + 25)
    x = (np.arange(width) - width / 2) * near / 2000 + 512
    wave = sample(field, np.broadcast_to(near % 1000, x.shape), x)
    y = rows[:, None] + wave * (4 + rows[:, None] * 0.02)
    shaken = sample(mirror, y, np.broadcast_to(np.arange(width), y.shape))
    gaze = ramp(0, height - horizon, rows)[:, None] * np.ones_like(wave)
    colour = mix(shaken * 0.92, rgb("123447")[0], 0.08 + 0.42 * gaze) + 0.03 * wave[..., None]
    out = view.copy()
    out[horizon:] = np.where(water[horizon:, :, None], colour, view[horizon:])
    return out


def conifer(draw: ImageDraw.ImageDraw, rng: Rng, x: float, base: float, tall: float) -> None:
    """Draw a fir bough by bough from the ground up, its left side in the sun."""
    foot = tall / 110
    draw.polygon([(x - foot, base), (x + foot, base), (x, base - tall)], fill=(34, 26, 22))
    for t in np.linspace(0.93, 0.01, int(9 + tall / 15)):
        reach = tall * (0.008 + 0.24 * t) * rng.uniform(0.7, 1.1)
        for turn in rng.permutation(np.linspace(-1, 1, 9)) + rng.normal(0, 0.1, 9):
            tip, y = reach * turn * rng.uniform(0.6, 1.1), base - tall * (1 - t)
            for s in np.linspace(0, 1, max(4, int(abs(tip) / 4))):
                px, py = x + tip * s, y + abs(tip) * (0.75 * s - 0.4 * s * s) + reach * 0.25 * s
                sun = np.clip(0.95 * s * (0.3 - turn) - 0.12 + rng.normal() * 0.12, 0, 1)
                tone = rgb("0b1717")[0] * (1 - sun) + rgb("978a3e")[0] * sun
                fill = tuple(int(255 * c) for c in tone)
                needle = tall * 0.024 * (1.15 - 0.7 * s) * rng.uniform(0.5, 1.1) + 1.5
                out, down = np.sign(tip) * rng.uniform(0.2, 1), 1 - 0.9 * sun
                draw.line((px, py, px + needle * out, py + needle * down), fill=fill, width=2)


def foreground(rng: Rng, picture: Image.Image) -> None:
    """Draw the near bank: a meadow, and two groups of firs that frame the view."""
    draw, (width, height) = ImageDraw.Draw(picture), picture.size
    curve = np.abs(np.linspace(-0.9, 1.1, width)) ** 1.6
    edge = height * (0.93 - 0.13 * curve + 0.006 * fbm(rng, 4, width, 9, 5)[0])
    draw.polygon([(0, height), *enumerate(edge.tolist()), (width, height)], fill=(30, 34, 18))
    for at, tall in FIRS:
        conifer(draw, rng, at * width, edge[int(at * width)] + 0.015 * width, tall * height)
    meadow(draw, rng, edge, height, width / 2048)


def meadow(draw: ImageDraw.ImageDraw, rng: Rng, edge: Array, height: int, unit: float) -> None:
    """Draw blades of grass from the bank's edge to the near, with flowers in beds."""
    tones, blooms = rgb("2a3517 566428 99993f d8c066"), ("#d9483b", "#f2e9dc", "#e9b93f", "#8a6bc0")
    beds = fbm(rng, 4, len(edge), 9, 3)[0]
    for t in np.sort(rng.uniform(0, 1, 16000)):
        x = rng.uniform(0, len(edge) - 1)
        y = edge[int(x)] + (height * 1.03 - edge[int(x)]) * t
        blade = (10 + 42 * t) * unit * rng.uniform(0.5, 1.4)
        tone = tones[min(3, int(abs(rng.normal(0, 1.3))))] * rng.uniform(0.7, 1.1)
        tone = tone * (1 + 0.35 * beds[int(x * 0.7)] * (1 - 0.5 * t))
        fill = tuple(int(255 * c) for c in np.clip(tone, 0, 1))
        tx, ty = x + rng.normal(0.15, 0.3) * blade, y - blade
        draw.line((x, y, tx, ty), fill=fill, width=max(1, int((1 + 2.5 * t) * unit)))
        if rng.uniform() < 0.08 * ramp(0.2, 1.2, beds[int(x)] + 0.4 * np.sin(20 * t)):
            r = (1.5 + 4 * t) * unit * rng.uniform(0.7, 1.2)
            bloom = blooms[int(x * 5 / len(edge) + rng.uniform(0, 1.5)) % 4]
            draw.ellipse((tx - r, ty - 0.7 * r, tx + r, ty + 0.7 * r), fill=bloom)


def to_image(colour: Array) -> Image.Image:
    """Float colours as an 8-bit picture, highlights rolled off softly."""
    soft = np.where(colour > 0.8, 0.8 + 0.2 * np.tanh((colour - 0.8) / 0.2), colour)
    return Image.fromarray((np.clip(soft, 0, 1) * 255 + 0.5).astype(np.uint8))


def landscape(rng: Rng, width: int) -> Image.Image:
    """Render the landscape at twice its size and scale it down."""
    w, h = 2 * width, width * 3 // 2
    valley, horizon = Valley(rng, w), int(h * 0.60)
    slope = ((horizon - np.arange(h)) / valley.focal).astype(np.float32)
    view, depth = valley.look(slope, CAMERA)
    mirror, _ = valley.look(-slope[horizon:], -CAMERA)
    water = depth * -slope[:, None] > CAMERA
    picture = to_image(lake(rng, view, mirror, water, horizon))
    foreground(rng, picture)
    return picture.resize((width, width * 3 // 4), Image.Resampling.LANCZOS)


# --- the painted pattern ---------------------------------------------------------------------


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


def save(picture: Image.Image, path: Path) -> None:
    """Write a JPEG, at the best quality up to 90 that keeps it small."""
    for quality in range(90, 60, -2):
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=quality, optimize=True, progressive=True)
        if data.tell() <= MAX_BYTES:
            break
    path.write_bytes(data.getvalue())
    print(f"{path}: {picture.width}x{picture.height}, {data.tell() // 1000} kB, q{quality}")


def main() -> None:
    """Render the pictures into a directory."""
    parser = argparse.ArgumentParser(description="Render gentool's sample pictures.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="DIR")
    parser.add_argument("--size", type=int, default=1024, metavar="N", help="landscape width")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    save(landscape(np.random.default_rng(7), args.size), args.out / "landscape.jpg")
    save(pattern(np.random.default_rng(3), args.size * 3 // 4), args.out / "pattern.jpg")


if __name__ == "__main__":
    main()
