"""Paint the pictures of README and docs, or the same of pictures of your own.

    python examples/make_gallery.py
    python examples/make_gallery.py --contents photos/ --styles paintings/ --out out/mine

gallery.jpg  contents down, styles across, each painted by adain
beside.jpg   content, style, adain and gatys, a row for each of a few pairs

Without pictures of yours, contents are the rendered landscape and two photographs that scikit-image
brings, and styles are the three rendered ones.
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
from gentool.images import SUFFIXES, read, resize

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


def own() -> tuple[list[Tensor], list[Tensor]]:
    """The project's contents and styles."""
    contents = [read(HERE / "landscape.jpg").pixels]
    contents += [tensor(data.astronaut()), tensor(data.chelsea())]
    styles = [read(HERE / f"{name}.jpg").pixels for name in ("pattern", "mosaic", "woodcut")]
    return contents, styles


def gallery(contents: list[Tensor], styles: list[Tensor]) -> Grid:
    """A sheet: styles in the first row, then each content with its paintings."""
    adain = gentool.load("adain", seed=0)
    cells = [torch.ones(3, CELL, CELL), *(resize(square(style), CELL) for style in styles)]
    for content in contents:
        shown = square(content)
        cells.append(resize(shown, CELL))
        painted = (adain.stylize(content=shown, style=style).tensor for style in styles)
        cells += [resize(picture, CELL) for picture in painted]
    return Grid(cells, columns=len(styles) + 1, gap=6)


def beside(contents: list[Tensor], styles: list[Tensor]) -> Grid:
    """A sheet: content, style, adain's and gatys' picture; every content and every style once."""
    adain, gatys = (gentool.load(name, seed=0) for name in ("adain", "gatys"))
    cells = []
    for content, style in zip(contents, styles, strict=False):
        shown = square(content)
        cells += [resize(shown, CELL), resize(square(style), CELL)]
        cells.append(adain.stylize(content=shown, style=style, content_size=CELL).tensor)
        cells.append(gatys.stylize(content=shown, style=style, content_size=CELL).tensor)
    return Grid(cells, columns=4, gap=6)


def pictures(folder: Path) -> list[Tensor]:
    """Every picture of a folder, by name."""
    return [read(path).pixels for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contents", type=Path, help="folder of pictures")
    parser.add_argument("--styles", type=Path, help="folder of pictures")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs/pictures")
    parser.add_argument("--only", choices=["gallery", "beside"])
    given = parser.parse_args()
    contents, styles = own()
    if given.contents:
        contents = pictures(given.contents)
    if given.styles:
        styles = pictures(given.styles)
    given.out.mkdir(parents=True, exist_ok=True)
    for make in (gallery, beside):
        if given.only in (None, make.__name__):
            out = given.out / f"{make.__name__}.jpg"
            # quality for a web page; results proper are saved at 95
            make(contents, styles).image.save(out, quality=85)
            print(out)


if __name__ == "__main__":
    main()
