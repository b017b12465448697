"""Symbols coded once and kept: neither a library's new version nor another machine reads them else.

Everything here is made of whole numbers and powers of two, never drawn or computed by functions
that machines round differently. ``python test_golden.py`` writes the file anew, which no change of
this project may make necessary without a new version of the format.
"""

from pathlib import Path

import numpy as np
import torch

from gentool_cnn_ae import coder
from gentool_cnn_ae.coder import Alphabets
from gentool_cnn_ae.exact import ExactPrior
from gentool_cnn_ae.nets import CnnAe, Config
from gentool_cnn_ae.tables import TOTAL, logistic, shape

GOLDEN = Path(__file__).with_name("golden.bin")


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


if __name__ == "__main__":
    GOLDEN.write_bytes(coder.encode(*coding())[0])
