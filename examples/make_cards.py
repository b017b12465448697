"""Make the pictures of the model cards of gan, vae and cnn-ae, from the weights they package.

    python examples/make_cards.py
    python examples/make_cards.py --only codec --out out/mine

gan.jpg    uncurated samples, a column for each class: cifar10 on the left, clothing96 on the right
vae.jpg    uncurated samples: cifar10 on the left, clothing96 on the right
codec.jpg  a part of a photograph that scikit-image brings: as it was, and after JPEG, WebP and
           cnn-ae, of which none takes more bytes than cnn-ae
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import PIL.Image
from skimage import data
from torch import Tensor

import gentool
from gentool.artifacts import Grid
from gentool.images import from_pil, to_size

HERE = Path(__file__).resolve().parent
SETS = "cifar10", "clothing96"
ROWS, COLUMNS = 8, 10
CELL = 64  # side of a sample on the sheet, pixels
QUALITY = 2  # of cnn-ae
PART = (130, 20, 350, 240)  # of the photograph: left, top, right, bottom
LARGER = 2  # so many times, so that pixels can be seen


def gan() -> Grid:
    """A sheet of samples of each set, side by side."""
    sheets = []
    for name in SETS:
        method = gentool.load("gan", weights=name, seed=0)
        classes = list(method.model.config.classes)
        assert len(classes) == COLUMNS
        sheets.append(_sheet(method.sample(n=ROWS * COLUMNS, label=classes)))
    return Grid(sheets, columns=len(SETS), gap=12)


def vae() -> Grid:
    """The same, without classes."""
    sheets = []
    for name in SETS:
        method = gentool.load("vae", weights=name, seed=0)
        sheets.append(_sheet(method.sample(n=ROWS * COLUMNS, layout="each")))
    return Grid(sheets, columns=len(SETS), gap=12)


def _sheet(samples: gentool.Results) -> Tensor:
    cells = [to_size(sample.tensor, (CELL, CELL)) for sample in samples]
    return Grid(cells, columns=COLUMNS, gap=2).tensor


def codec() -> Grid:
    """A photograph's part, after each codec."""
    photo = PIL.Image.fromarray(data.astronaut())
    found, figures = gentool.load("cnn-ae").reconstruct(input=photo, quality=QUALITY)
    limit = figures.values["bytes"]
    shown = [photo, _best(photo, "JPEG", limit), _best(photo, "WEBP", limit), found.image]
    parts = [from_pil(image.crop(PART), "part").pixels for image in shown]
    sides = [LARGER * side for side in parts[0].shape[1:]]
    return Grid([to_size(part, sides) for part in parts], columns=4, gap=6)


def _best(photo: PIL.Image.Image, kind: str, limit: int) -> PIL.Image.Image:
    """What is left of a photograph in a file of so many bytes at most."""
    best = None
    for quality in range(96):
        file = io.BytesIO()
        photo.save(file, kind, quality=quality, optimize=True, method=6)
        if file.tell() > limit:
            break
        best = PIL.Image.open(file).convert("RGB")

    assert best is not None, f"no {kind} is so small"
    return best


def main() -> None:
    makers = {make.__name__: make for make in (gan, vae, codec)}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs/pictures")
    parser.add_argument("--only", choices=[*makers])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in [given.only] if given.only else makers:
        out = given.out / f"{name}.jpg"
        makers[name]().image.save(out, quality=90)
        print(out)


if __name__ == "__main__":
    main()
