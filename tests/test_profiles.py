"""ICC profiles: colours are brought to sRGB."""

import struct

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from gentool import images

from .samples import pixel, saved

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def icc(space, tags):
    """A minimal ICC profile of a monitor."""
    names = sorted(tags)
    start = 128 + 4 + 12 * len(names)
    table, body = struct.pack(">I", len(names)), b""
    for name in names:
        table += struct.pack(">4sII", name.encode(), start + len(body), len(tags[name]))
        body += tags[name] + bytes(-len(tags[name]) % 4)
    white = struct.pack(">3i", 63190, 65536, 54061)  # D50
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x12s48x",
        start + len(body), 0x02400000, b"mntr", space.encode(), b"XYZ ", b"acsp", white,
    )  # fmt: skip
    return header + table + body


def curve(gamma):
    return b"curv" + struct.pack(">4xIH", 1, round(gamma * 256))


def xyz(*values):
    return b"XYZ " + struct.pack(">4x3i", *(round(v * 65536) for v in values))


PRIMARIES = {
    "rXYZ": xyz(0.4361, 0.2225, 0.0139),
    "gXYZ": xyz(0.3851, 0.7169, 0.0971),
    "bXYZ": xyz(0.1431, 0.0606, 0.7141),
    "wtpt": xyz(0.9642, 1.0, 0.8249),
}


CURVES = {"rTRC": curve(1), "gTRC": curve(1), "bTRC": curve(1)}


LINEAR = icc("RGB ", PRIMARIES | CURVES)


SWAPPED = icc(
    "RGB ",
    PRIMARIES
    | {"rXYZ": PRIMARIES["gXYZ"], "gXYZ": PRIMARIES["rXYZ"]}
    | dict.fromkeys(CURVES, curve(2.2)),
)


LINEAR_GREY = icc("GRAY", {"wtpt": PRIMARIES["wtpt"], "kTRC": curve(1)})


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize(
    ("image", "profile", "wanted"),
    [
        pytest.param(PIL.Image.new("RGB", (4, 4), RED), SWAPPED, GREEN, id="swapped primaries"),
        pytest.param(PIL.Image.new("RGB", (4, 4), (128,) * 3), LINEAR, (188,) * 3, id="linear"),
        pytest.param(PIL.Image.new("RGBA", (4, 4), (*RED, 128)), SWAPPED, GREEN, id="alpha"),
        pytest.param(PIL.Image.new("L", (4, 4), 128), LINEAR_GREY, (188,) * 3, id="grey"),
        pytest.param(
            PIL.Image.new("LA", (4, 4), (128, 9)), LINEAR_GREY, (188,) * 3, id="grey and alpha"
        ),
        pytest.param(PIL.Image.new("L", (4, 4), 128), LINEAR, (188,) * 3, id="grey, RGB profile"),
        pytest.param(PIL.Image.new("RGB", (4, 4), RED).quantize(2), SWAPPED, GREEN, id="palette"),
        pytest.param(PIL.Image.new("RGB", (4, 4), (9, 80, 200)), SRGB, (9, 80, 200), id="sRGB"),
    ],
)
def test_colours_are_brought_to_srgb(tmp_path, image, profile, wanted):
    picture = images.read(saved(image, tmp_path / "a.png", icc_profile=profile))
    assert np.abs(np.subtract(pixel(picture), wanted)).max() <= 2
    assert picture.notes == ()
    assert (picture.alpha is None) == (image.mode in ("RGB", "L", "P"))


def test_grey_of_16_bits_is_brought_to_srgb_too(tmp_path):
    values = np.arange(0, 65536, 257, dtype=np.uint16)[None]
    wide = saved(PIL.Image.fromarray(values), tmp_path / "16.png", icc_profile=LINEAR_GREY)
    narrow = PIL.Image.fromarray((values // 257).astype(np.uint8))
    wanted = images.read(saved(narrow, tmp_path / "8.png", icc_profile=LINEAR_GREY))
    found = images.read(wide)
    assert (found.pixels - wanted.pixels).abs().max() <= 1 / 255
    assert found.notes == ()
    assert len(found.pixels[0].unique()) > 150
    between = PIL.Image.fromarray(np.array([[5000, 5001, 5100]], np.uint16))
    shades = images.read(saved(between, tmp_path / "b.png", icc_profile=LINEAR_GREY)).pixels[0, 0]
    assert shades[0] < shades[1] < shades[2] < shades[0] + 2 / 255
    damaged = images.read(saved(between, tmp_path / "c.png", icc_profile=SRGB[:200]))
    assert damaged.pixels[0, 0, 0].item() == pytest.approx(5000 / 65535, abs=1e-4)
    assert damaged.notes == ("the colour profile is unusable and was ignored",)


@pytest.mark.parametrize(
    ("image", "profile"),
    [
        (PIL.Image.new("RGB", (4, 4), (10, 20, 30)), b"no profile at all"),
        (PIL.Image.new("RGB", (4, 4), (10, 20, 30)), SRGB[:200]),
        (PIL.Image.new("RGB", (4, 4), (10, 20, 30)), LINEAR_GREY),
        (PIL.Image.new("CMYK", (4, 4), (245, 235, 225, 0)), SRGB),
    ],
)
def test_an_unusable_profile_is_noted_and_ignored(tmp_path, image, profile):
    path = saved(image, tmp_path / "a.tif", icc_profile=profile)
    picture = images.read(path)
    assert pixel(picture) == [10, 20, 30]
    assert picture.notes == ("the colour profile is unusable and was ignored",)
