"""Everything random in a training follows from its seed and its position.

So no state of a random generator need be kept: a resumed step draws what it would have drawn.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def derive(*words: int | str) -> int:
    """A seed of 63 bits that follows from the words: ``derive(seed, "step", 12)``."""
    text = " ".join(map(str, words)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed torch on every device, NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002 - trainers may draw from the global one
    random.seed(seed)
