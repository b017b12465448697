"""Render the sample pictures: a landscape to restyle, and three works to take the style from.

Everything is computed here from fixed seeds; no picture from elsewhere is used. `render/` holds
one module for each picture. All of them take about a minute.

    python examples/make_pictures.py --out examples
"""

import argparse
from pathlib import Path

import numpy as np
from render.brushwork import pattern
from render.common import save
from render.landscape import landscape
from render.mosaic import mosaic
from render.woodcut import woodcut

PICTURES = {  # name: renderer, seed, width as a part of --size, most bytes
    "landscape": (landscape, 7, 1.0, 245_000),
    "pattern": (pattern, 3, 0.75, 245_000),
    "mosaic": (mosaic, 5, 0.75, 218_000),
    "woodcut": (woodcut, 9, 0.75, 218_000),
}


def main() -> None:
    """Render the pictures into a directory."""
    parser = argparse.ArgumentParser(description="Render gentool's sample pictures.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="DIR")
    parser.add_argument("--size", type=int, default=1024, metavar="N", help="landscape width")
    parser.add_argument("--only", choices=PICTURES, help="render this picture alone")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in [args.only] if args.only else PICTURES:
        render, seed, part, limit = PICTURES[name]
        picture = render(np.random.default_rng(seed), int(args.size * part))
        save(picture, args.out / f"{name}.jpg", limit)


if __name__ == "__main__":
    main()
