"""A mountain valley at evening.

A height field is seen through a pinhole camera, and once more, mirrored, in the lake before it.
"""

import numpy as np
from PIL import Image

from .bank import bank
from .common import Array, Rng, fbm, mix, noise, ramp, rgb, sample, to_image

GRID = 2048  # cells along each side of the height field
NEAR, CAMERA = 150.0, 26.0  # where the height field starts, and the eye's height above the lake


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


def landscape(rng: Rng, width: int) -> Image.Image:
    """Render the landscape at twice its size and scale it down."""
    w, h = 2 * width, width * 3 // 2
    valley, horizon = Valley(rng, w), int(h * 0.60)
    slope = ((horizon - np.arange(h)) / valley.focal).astype(np.float32)
    view, depth = valley.look(slope, CAMERA)
    mirror, _ = valley.look(-slope[horizon:], -CAMERA)
    water = depth * -slope[:, None] > CAMERA
    picture = to_image(lake(rng, view, mirror, water, horizon))
    bank(rng, picture)
    return picture.resize((width, width * 3 // 4), Image.Resampling.LANCZOS)
