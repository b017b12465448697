"""A woodcut in three inks: black lines cut along the forms, over Prussian blue and vermilion."""

import numpy as np
from PIL import Image

from .common import Array, Rng, fbm, mix, noise, ramp, rgb, to_image

PAPER, BLUE, RED, BLACK = rgb("f3e7cd 1f4b7d d8452b 17140f")
SUN = 0.29, 0.60, 0.135  # row, column, radius
HILLS = (  # crest, swell, hills across, phase, block colour, furrows (or contours) per unit
    (0.500, 0.050, 1.3, 0.10, "red", -34),
    (0.565, 0.055, 1.0, 0.62, "paper", 26),
    (0.655, 0.060, 0.9, 0.15, "blue", 30),
    (0.750, 0.065, 0.8, 0.70, "paper", -20),
    (0.860, 0.060, 0.7, 0.25, "red", 20),
)
CLOUDS = (  # row and column of the middle, half length, thickness
    (0.115, 0.18, 0.30, 0.055),
    (0.215, 0.96, 0.24, 0.045),
    (0.345, 0.30, 0.24, 0.036),
    (0.405, 0.86, 0.22, 0.030),
)
TREES = (  # row and column of the foot, height, half width
    (0.585, 0.74, 0.12, 0.013),
    (0.595, 0.78, 0.16, 0.016),
    (0.590, 0.82, 0.11, 0.012),
    (0.700, 0.42, 0.15, 0.018),
    (0.712, 0.365, 0.21, 0.022),
    (1.030, 0.130, 0.86, 0.072),
    (1.050, 0.270, 0.56, 0.055),
    (1.040, 0.905, 0.42, 0.046),
)


class Block:
    """The picture so far: how much black, and which colour lies below it, at each pixel."""

    def __init__(self, rng: Rng, n: int) -> None:
        self.y, self.x = np.mgrid[0:n, 0:n].astype(np.float32) / n
        self.ink = np.zeros((n, n), np.float32)
        self.tint = dict.fromkeys(("blue", "red"), np.zeros((n, n), np.float32))
        self.hand = 0.5 * fbm(rng, n, n, 22, 3)  # how the knife strays
        self.bend = noise(rng, n, n, 3)
        self.chip = noise(rng, n, n, 90)

    def cut(self, phase: Array, tone: Array) -> Array:
        """Lines along the level curves of a phase, as broad as the tone asks (0 to 1)."""
        line = np.abs(2 * ((phase + 0.10 * self.hand) % 1) - 1)
        gy, gx = np.gradient(phase)
        soft = np.clip(2.4 * np.hypot(gy, gx), 0.02, 0.6)
        return ramp(-1, 1, (tone + 0.16 * self.hand + 0.04 * self.chip - line) / soft)

    def put(self, where: Array, ink: Array, colour: str) -> None:
        """Replace what is there by this ink on a block colour."""
        self.ink = self.ink + (ink - self.ink) * where
        for name, field in self.tint.items():
            self.tint[name] = field + ((name == colour) - field) * where


def sky(block: Block) -> None:
    """Cut the sky in rings that stray into waves away from the sun."""
    y, x = block.y, block.x
    r, turn = np.hypot(y - SUN[0], x - SUN[1]), np.arctan2(y - SUN[0], x - SUN[1])
    away = ramp(0.22, 0.55, r)
    warp = 0.030 * block.bend * away + 0.012 * np.sin(9 * x + 7 * y) * away
    rings = 33 * (r + warp)
    swell = np.sin(0.85 * rings + 2.5 * np.sin(2 * turn + 1))
    tone = 0.18 + 0.34 * ramp(0.2, 0.6, r) + 0.22 * swell * away
    block.put(np.ones_like(r), block.cut(rings, tone), "paper")
    block.tint["blue"] = ramp(-0.002, 0.002, r + warp - 0.272)
    rays = block.cut(turn * 72 / (2 * np.pi), 0.80 - 7.5 * (r - SUN[2] - 0.012))
    block.put(ramp(0.258, 0.256, r + warp), rays * ramp(0.012, 0.014, r - SUN[2]), "paper")
    for row, col, long, thick in CLOUDS:
        cloud(block, (x - col) / long, (y - row) / thick, thick)
    disc = ramp(0.001, -0.001, r - SUN[2])
    low = block.cut(70 * (y + 0.012 * block.bend), 1.6 * (y - SUN[0]) / SUN[2] - 0.75)
    block.put(disc, np.maximum(low, ramp(-0.006, -0.004, r - SUN[2])), "red")


def cloud(block: Block, u: Array, v: Array, thick: float) -> None:
    """Cut a long cloud: paper, with a scalloped upper edge and a hatched belly."""
    span = np.sqrt(np.clip(1 - u**2, 0, 1))
    puffs = 0.45 + 0.55 * np.abs(np.sin(5.2 * u + 30 * thick)) ** 0.6
    top, foot = v + span * puffs, 0.34 * span - v
    edge = np.minimum(top, foot) * thick
    where = ramp(-0.001, 0.001, edge) * (np.abs(u) < 1)
    hatch = block.cut(9 * (top - 0.25 * u), 0.10 + 0.75 * (v + 0.45))
    block.put(where, np.maximum(hatch, ramp(0.0045, 0.003, edge)), "paper")


def hills(block: Block) -> None:
    """Cut hill before hill, each with furrows of its own, light along its crest."""
    y, x = block.y, block.x
    for k, (height, swell, count, shift, colour, furrows) in enumerate(HILLS):
        angle = 2 * np.pi * (x * count + shift)
        crest = height - swell * (np.sin(angle) + 0.3 * np.sin(2.3 * angle + k))
        below = y - crest + 0.002 * block.hand
        slant, deep = np.cos(angle), np.maximum(below, 0)
        if furrows > 0:
            from_ = 0.5 + 0.35 * (-1) ** k
            phase = furrows * 0.32 * (x - from_ + 0.9 * deep * slant) / (deep + 0.13)
        else:
            phase = -furrows * 0.86 * np.log1p(9 * deep + 0.12 * np.tanh(block.bend))
        tone = 0.14 + 3.6 * deep + 0.30 * slant + 0.12 * block.bend
        ink = block.cut(phase, np.clip(tone, 0.08, 0.86))
        ink = ink * ramp(0.010, 0.014, below) + ramp(0.0045, 0.003, below)
        block.put(ramp(-0.001, 0.001, below), np.clip(ink, 0, 1), colour)


def tree(block: Block, foot: tuple[float, float], tall: float, half: float) -> None:
    """Cut a cypress: a black flame, opened by lines that lick up along its sunlit side."""
    t = (foot[0] - block.y) / tall
    s = np.clip(t, 0, 1)
    body = half * (1 - s) ** 0.8 * (0.45 + 1.25 * s**0.5) + 1e-4
    sway = 0.30 * half * np.sin(6 * s + 9 * foot[1])
    u = (block.x - foot[1] - sway) / body
    tongues = round(3 + 7 * np.sqrt(tall))
    lick = (tongues * s - 1.6 * np.abs(u) + 0.5 * (u > 0) + 0.3 * block.bend) % 1
    edge = np.minimum((1 - 0.34 * (1 - lick) ** 1.4 - np.abs(u)) * body, 0.4 * t * tall)
    there = (t > 0) & (t < 1)
    rim = 0.0035 + 0.02 * half
    block.put(ramp(-rim - 0.001, -rim + 0.001, edge) * there, np.zeros_like(u), "paper")
    lines = max(4, round(half * 190))
    wave = 0.10 * np.sin(np.pi * tongues * s - 2 * u) + 0.22 * np.abs(u) * s
    light = ramp(-0.7, 0.8, u + 1.5 * wave + 0.2 * block.hand)
    ink = block.cut(lines / 2 * (u + wave), 1.12 - 0.62 * light)
    ink = np.maximum(ink, ramp(0.0055, 0.004, edge))
    block.put(ramp(-0.001, 0.001, edge) * there, ink, "paper")


def shifted(field: Array, by: int) -> Array:
    """The field a little lower and to the left, as a block that was not laid down true."""
    wide = np.pad(field, by, mode="edge")
    return wide[: field.shape[0], 2 * by :]


def woodcut(rng: Rng, size: int) -> Image.Image:
    """Cut the block at twice its size and print it, one ink over another."""
    n = 2 * size
    block = Block(rng, n)
    sky(block)
    hills(block)
    for row, col, tall, half in TREES:
        tree(block, (row, col), tall, half)
    fibre, speck = noise(rng, n, n, 300), fbm(rng, n, n, 160, 3)
    veins = np.asarray(Image.fromarray(noise(rng, n, n, 8)).resize((n, n)))
    grain = noise(rng, n, n, 4) * 9 + 60 * block.x + 2 * veins
    streak = ramp(0.86, 1.0, np.abs(2 * (grain % 1) - 1)) * ramp(0.0, 1.5, speck + 0.5)
    page = PAPER * (1 + 0.010 * fibre)[..., None]
    shift = max(1, n // 500)
    for name, paint in (("blue", BLUE), ("red", RED)):
        cover = shifted(block.tint[name], shift)
        cover = cover * (0.97 - 0.22 * streak - 0.10 * ramp(0.9, 1.6, speck))
        page = mix(page, paint, cover)
    page = mix(page, BLACK, block.ink * (0.97 - 0.25 * ramp(1.3, 2.0, speck)))
    return to_image(page).resize((size, size), Image.Resampling.LANCZOS)
