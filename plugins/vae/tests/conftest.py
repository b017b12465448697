"""Tiny networks and pictures."""

import pytest
import torch
from PIL import Image
from skimage import data

from gentool import weights
from gentool_vae.nets import VAE, Config

TINY = Config(size=16, latent=6, width=16, noise=2, components=3)


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = VAE(TINY)
    with torch.no_grad():  # untrained, there is no detail
        made.detail.leave.weight.normal_(std=0.3)
    return made.eval()


@pytest.fixture
def file(model, tmp_path):
    path = tmp_path / "tiny.safetensors"
    weights.save(path, model, "vae")
    return path


@pytest.fixture
def photos(tmp_path):
    """Turned and shrunk copies of a photograph, in two folders."""
    image = Image.fromarray(data.astronaut())
    for name, color in (("light", (255, 255, 255)), ("dark", (0, 0, 0))):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for i in range(7, 19):  # light/17.png and light/18.png are kept out of trainings
            turned = image.rotate(11 * i).resize((40, 30))
            Image.blend(turned, Image.new("RGB", (40, 30), color), 0.4).save(folder / f"{i}.png")
    return tmp_path / "photos"
