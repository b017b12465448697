"""Pictures out: what every format keeps, and what it must not hold."""

import PIL.Image
import pytest
import torch

from gentool import encoding, images
from gentool.errors import OutputError

from .samples import photograph, pixel, saved

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


MADE = {"gentool": "0.1.0", "method": "adain", "options": {"content": ["Fluß.jpg"]}, "seed": 7}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp", ".tif", ".tiff"])
def test_metadata_comes_back_from_the_file(tmp_path, suffix, mode):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoding.encode(photograph().convert(mode), suffix, MADE))
    assert encoding.read_metadata(path) == MADE
    facts = encoding.inspect(path)
    assert (facts["width"], facts["height"], facts["made_with"]) == (96, 64, MADE)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_pictures_survive_writing_and_reading(tmp_path, suffix):
    pixels = images.read(photograph()).pixels
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoding.encode(images.to_pil(pixels), suffix))
    again = images.read(path).pixels
    lossless = suffix in (".png", ".tif", ".bmp")
    assert torch.equal(again, pixels) if lossless else (again - pixels).abs().mean() < 0.02
    assert encoding.read_metadata(path) is None


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_is_kept_where_the_format_has_it(tmp_path, suffix):
    alpha = torch.linspace(0, 1, 96).expand(1, 64, 96)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoding.encode(images.to_pil(torch.rand(3, 64, 96), alpha), suffix))
    assert (images.read(path).alpha - alpha).abs().max() < 0.005


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_alpha_goes_onto_white_where_it_has_not(tmp_path, suffix):
    alpha = torch.zeros(1, 16, 32)
    alpha[:, :, 16:] = 1
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoding.encode(images.to_pil(torch.zeros(3, 16, 32), alpha), suffix))
    picture = images.read(path)
    assert picture.alpha is None
    assert min(pixel(picture, 2, 8)) > 250
    assert max(pixel(picture, 30, 8)) < 5


def test_nothing_of_the_source_but_its_pixels_reaches_the_result(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x010F] = "Secret Camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    path = saved(photograph(), tmp_path / "a.jpg", exif=exif, comment=b"Secret Comment")
    assert b"Secret Camera" in path.read_bytes()
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        result = tmp_path / f"result{suffix}"
        image = images.to_pil(images.read(path).pixels)
        result.write_bytes(encoding.encode(image, suffix, MADE))
        assert b"Secret" not in result.read_bytes()
        with PIL.Image.open(result) as written:
            assert not written.getexif().get_ifd(0x8825)
            assert 0x010F not in written.getexif()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_noise_can_be_written(suffix):
    noise = torch.rand(3, 512, 512, generator=torch.Generator().manual_seed(0)).round()
    assert encoding.encode(images.to_pil(noise), suffix)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": 1}', "[1]", "A photo", ""])
def test_the_description_of_a_strangers_picture_is_no_provenance(tmp_path, text):
    exif = PIL.Image.Exif()
    exif[0x010E] = text
    path = saved(photograph(), tmp_path / "a.png", exif=exif)
    assert encoding.read_metadata(path) is None


@pytest.mark.parametrize(
    ("suffix", "size", "metadata", "reason"),
    [
        (".xyz", (4, 4), None, r"gentool writes \.png .*, not '\.xyz'"),
        ("", (4, 4), None, "not ''"),
        (".jpgg", (4, 4), None, r"did you mean '\.jpg'\?"),
        (
            ".webp",
            (20000, 1),
            None,
            "a .webp takes up to 16,383 pixels a side, and this is 20000x1; take .png",
        ),
        (
            ".jpg",
            (70000, 1),
            None,
            "a .jpg takes up to 65,500 pixels a side, and this is 70000x1; take .png",
        ),
        (".jpg", (4, 4), {"gentool": "x" * 70000}, "leave the metadata out or take .png"),
    ],
)
def test_what_cannot_be_written_says_why(suffix, size, metadata, reason):
    with pytest.raises(OutputError, match=reason):
        encoding.encode(PIL.Image.new("RGB", size), suffix, metadata)
