"""Paint the README's pictures: contents down, styles across, each by `gentool run adain`'s own API.

    python examples/make_gallery.py

Contents are the rendered landscape and two photographs that scikit-image brings; styles are the
three rendered styles.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from skimage import data
from torch import Tensor

import gentool
from gentool.artifacts import Grid
from gentool.images import read, resize

HERE = Path(__file__).resolve().parent
CELL = 320  # long side of a picture on the sheet, pixels


def tensor(array: np.ndarray) -> Tensor:
    """(H,W,3) uint8 -> (3,H,W) in 0..1."""
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255


def square(picture: Tensor) -> Tensor:
    """The middle of a picture."""
    _, height, width = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[:, top : top + side, left : left + side]


def gallery() -> Grid:
    """A sheet: styles in the first row, then each content with its paintings."""
    adain = gentool.load("adain", seed=0)
    contents = [
        read(HERE / "landscape.jpg").pixels,
        tensor(data.astronaut()),
        tensor(data.chelsea()),
    ]
    styles = [read(HERE / f"{name}.jpg").pixels for name in ("pattern", "mosaic", "woodcut")]
    cells = [torch.ones(3, CELL, CELL), *(resize(square(style), CELL) for style in styles)]
    for content in contents:
        shown = square(content)
        cells.append(resize(shown, CELL))
        painted = (adain.stylize(content=shown, style=style).tensor for style in styles)
        cells += [resize(picture, CELL) for picture in painted]
    return Grid(cells, columns=len(styles) + 1, gap=6)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs/pictures/gallery.jpg")
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    gallery().image.save(out, quality=85)  # for a web page; results proper are saved at 95
    print(out)


if __name__ == "__main__":
    main()
