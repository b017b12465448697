"""A tiny random feature network, real pictures, and the flags that most tests begin from."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

import gentool
from gentool_perceptual.features import CONVOLUTIONS

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """VGG-19's layout to relu5_1 with four channels a layer."""
    torch.manual_seed(0)
    tensors, width = {}, 3
    for name in CONVOLUTIONS[: CONVOLUTIONS.index("5_1") + 1]:
        tensors[f"conv{name}.weight"] = torch.randn(4, width, 3, 3) / (4.5 * width) ** 0.5
        tensors[f"conv{name}.bias"] = torch.rand(4) * 0.1
        width = 4
    path = tmp_path_factory.mktemp("network") / "tiny.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def flags(network, pictures):
    return {
        "content": pictures / "content.png",
        "style": pictures / "style.png",
        "features": [str(network)],
        "content_size": 96,
        "init": "content",
        "steps": 12,
    }


@pytest.fixture
def method():
    return gentool.load("gatys", precision="fp32", seed=0)


def photo(name, height, width):
    image = Image.fromarray(getattr(data, name)()).resize((width, height))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
