"""The landscape's near bank: grass, flowers and the firs that frame the view."""

import numpy as np
from PIL import Image, ImageDraw

from .common import Array, Rng, fbm, ramp, rgb

FIRS = ((0.84, 0.22), (0.165, 0.27), (0.885, 0.36), (0.115, 0.4), (0.045, 0.6), (0.955, 0.66))


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


def bank(rng: Rng, picture: Image.Image) -> None:
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
