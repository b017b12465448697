"""Small codecs and small pictures."""

import pytest
import torch
from skimage import data

from gentool.compute import choose
from gentool.context import Context
from gentool_cnn_ae.codec import Codec
from gentool_cnn_ae.nets import CnnAe, Config


def small_model(seed=0):
    """Untrained, so its symbols are those of a cosine transform; contexts that do something."""
    torch.manual_seed(seed)
    model = CnnAe(Config(width4=4, width8=6, width16=8, latents=24, hidden=8))
    with torch.no_grad():
        for name, parameter in model.prior.named_parameters():
            if name.endswith("last.weight"):
                parameter.normal_(std=0.05)
    return model.eval().requires_grad_(False)


@pytest.fixture
def context():
    return Context(choose("cpu", "fp32"), 0)


@pytest.fixture
def codec(context):
    return Codec(small_model(), context)


@pytest.fixture
def photo():
    """(3,96,112) with edges, texture and flat parts."""
    return torch.from_numpy(data.astronaut()[20:116, 150:262].copy()).permute(2, 0, 1).float() / 255
