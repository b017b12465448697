"""JPEG decoded without Pillow: the same pixels, and nothing that Pillow should see."""

import io

import numpy as np
import PIL.Image
import pytest
import torch
from skimage import data

from gentool.training import Pictures
from gentool.training.data import jpeg

PHOTO = PIL.Image.fromarray(data.astronaut())


def encoded(image, format_="JPEG", **how):
    buffer = io.BytesIO()
    image.save(buffer, format_, **how)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (33, 31), (200, 150)])
@pytest.mark.parametrize(
    "how", [{}, {"subsampling": 0}, {"progressive": True}, {"quality": 30}, {"optimize": True}]
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_those_of_pillow(size, how, mode):
    content = encoded(PHOTO.resize(size).convert(mode), **how)
    expected = np.asarray(PIL.Image.open(io.BytesIO(content)).convert("RGB"))
    assert torch.equal(jpeg.decode(content), torch.from_numpy(expected.copy()))


def oriented():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    return encoded(PHOTO, exif=exif)


@pytest.mark.parametrize(
    "content",
    [
        oriented(),
        encoded(PHOTO, icc_profile=b"x" * 200),
        encoded(PHOTO.convert("CMYK")),
        encoded(PHOTO, "PNG"),
        encoded(PHOTO)[:5000],
        b"\xff\xd8\xff" + bytes(100),
        b"",
    ],
    ids=["turned", "profile", "CMYK", "PNG", "cut", "no header", "empty"],
)
def test_what_needs_more_than_decoding_is_left_to_pillow(content):
    assert jpeg.decode(content) is None


def test_a_bomb_is_left_to_pillow(monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    assert jpeg.decode(encoded(PHOTO)) is None


def test_a_set_is_the_same_with_and_without_it(tmp_path, monkeypatch):
    (tmp_path / "turned.jpg").write_bytes(oriented())
    (tmp_path / "plain.jpg").write_bytes(encoded(PHOTO.resize((90, 60))))
    found = Pictures([tmp_path], split="all")
    plain, turned = found.pixels(0), found.pixels(1)
    assert plain.shape == (3, 60, 90)
    monkeypatch.setattr(jpeg, "simplejpeg", None)
    assert torch.equal(plain, found.pixels(0))
    assert torch.equal(turned, found.pixels(1))
