"""Symbols coded once and kept: neither a library's new version nor another machine reads them else.

Everything here is made of whole numbers and powers of two, never drawn or computed by functions
that machines round differently. ``python test_golden.py`` writes the file anew, which no change of
this project may make necessary without a new version of the format.

golden.gta is a file of the packaged weights, golden.png what it holds: other weights make other
files, and ``python test_golden.py gta`` writes both anew with them.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

import gentool
from gentool.images import to_pil
from gentool_cnn_ae import coder
from gentool_cnn_ae.basis import STRIDE
from gentool_cnn_ae.codec import Codec
from gentool_cnn_ae.coder import Alphabets
from gentool_cnn_ae.container import Container
from gentool_cnn_ae.exact import ExactPrior
from gentool_cnn_ae.nets import CnnAe, Config
from gentool_cnn_ae.options import LEVELS
from gentool_cnn_ae.tables import TOTAL, logistic, shape
from gentool_cnn_ae.tiles import TILE

GOLDEN = Path(__file__).with_name("golden.bin")
FILE, PICTURE = GOLDEN.with_suffix(".gta"), GOLDEN.with_suffix(".png")


def scattered(count, seed):
    """Whole numbers from -512 to 511 that look random."""
    numbers = (np.arange(count, dtype=np.int64) + 1 + seed) * 2654435761 % 2**32
    return numbers // 2**22 - 512


def coding():
    prior = CnnAe(Config(4, 4, 4, latents=24, hidden=8)).prior
    with torch.no_grad():
        for seed, (name, tensor) in enumerate(prior.state_dict().items()):
            values = torch.from_numpy(scattered(tensor.numel(), 1000 * seed)).view(tensor.shape)
            if name.endswith(("shrink", "grow")):
                tensor.copy_(2.0 ** ((values % 3) * (-1 if name.endswith("shrink") else 1)))
            elif name.endswith(("expected.weight", "start.weight")):
                tensor.copy_(values / 256 + 2)
            else:
                tensor.copy_(values / 4096)
    counts = torch.empty_like(logistic())
    for _, _, place in shape():  # falls to both sides of the middle
        size = place.stop - place.start
        far = np.abs(np.arange(size) - (size - 2) // 2)
        row = np.maximum(1, TOTAL // 4 >> np.minimum(far, 40))
        row[(size - 2) // 2] += TOTAL - row.sum()
        counts[place] = torch.from_numpy(row)
    symbols = (scattered(9 * 11 * 24, 7).reshape(9, 11, 24) // 64).astype(np.int16)
    symbols[4, 4, ::5] *= 700  # some escape
    return symbols, ExactPrior(prior, 3), Alphabets(counts)


def test_kept_bytes_are_read_and_written_as_ever():
    symbols, prior, alphabets = coding()
    kept = GOLDEN.read_bytes()
    assert np.array_equal(coder.decode(kept, symbols.shape, prior, alphabets), symbols)
    assert coder.encode(symbols, prior, alphabets)[0] == kept


def packaged():
    method = gentool.load("cnn-ae", device="cpu")
    return Codec(method.model, method.context())


@torch.inference_mode()
def test_a_kept_file_is_read_and_written_as_ever():
    codec, kept = packaged(), FILE.read_bytes()
    file = Container.unpack(kept, TILE * STRIDE, LEVELS)
    assert file.pack() == kept
    assert file.model == codec.id
    symbols = codec.decoded(file)
    assert [coder.encode(symbols, codec.prior(file.level), codec.alphabets)[0]] == file.tiles
    found = codec.decompress(kept)
    with Image.open(PICTURE) as picture:
        off = np.array(picture).astype(int) - np.array(to_pil(found.pixels, found.alpha))
    assert abs(off).max() <= 1
    assert not off[..., 3].any()


@torch.inference_mode()
def write_file():
    codec = packaged()
    photo = torch.from_numpy(data.astronaut()[20:96, 150:250].copy()).permute(2, 0, 1) / 255
    alpha = torch.linspace(0, 255, photo[0].numel()).round().view(1, *photo.shape[1:]) / 255
    FILE.write_bytes(codec.compress(photo, 2, alpha))
    found = codec.decompress(FILE.read_bytes())
    to_pil(found.pixels, found.alpha).save(PICTURE, optimize=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["gta"]:
        write_file()
    else:
        GOLDEN.write_bytes(coder.encode(*coding())[0])
