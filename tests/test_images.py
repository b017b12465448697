"""Pictures in: every kind that people have, and every way a file can be bad."""

import io
import struct
import warnings
import zlib

import numpy as np
import PIL.Image
import pytest
import torch
from skimage import data

from gentool import Context, encoding, images
from gentool.compute import choose
from gentool.errors import ImageError
from gentool.progress import Progress

from .samples import photograph, pixel, saved

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_a_photograph_comes_as_float_rgb_of_its_own_size(tmp_path):
    array = data.chelsea()
    path = saved(PIL.Image.fromarray(array), tmp_path / "my cat.v2.png")
    picture = images.read(str(path))
    assert picture.pixels.dtype == torch.float32
    assert picture.pixels.shape == (3, *array.shape[:2])
    assert picture.pixels.is_contiguous()
    assert torch.equal(picture.pixels, torch.from_numpy(array).permute(2, 0, 1) / 255)
    assert (picture.alpha, picture.name, picture.notes) == (None, "my cat.v2", ())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_a_turned_photograph_is_made_upright(tmp_path, orientation, suffix):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:, :16], upright[8:, 16:], upright[:8, 16:] = RED, GREEN, BLUE
    # what a camera stores for that orientation: the inverse of what EXIF asks the viewer to do
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}
    path = saved(
        PIL.Image.fromarray(np.ascontiguousarray(stored)),
        tmp_path / f"turned{suffix}",
        exif=exif,
        **options.get(suffix, {}),
    )
    picture = images.read(path)
    assert picture.pixels.shape == (3, 16, 32)
    wanted = torch.from_numpy(upright).permute(2, 0, 1) / 255
    assert (picture.pixels - wanted).abs().max() < 0.02


def test_odd_exif_neither_refuses_the_picture_nor_hides_its_orientation(tmp_path):
    entries = [(0x010E, 5, 1, 0), (0x0112, 3, 1, 6)]  # a description that is a fraction
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    exif += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    path = saved(photograph(40, 20), tmp_path / "odd.jpg", exif=exif)
    assert images.read(path).pixels.shape == (3, 40, 20)
    assert encoding.read_metadata(path) is None


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\3\0"]
)
def test_broken_exif_is_ignored_without_a_warning(tmp_path, exif):
    path = saved(photograph(), tmp_path / "a.jpg", exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.read(path).pixels.shape == (3, 64, 96)
        assert encoding.inspect(path)["made_with"] is None


def palette(transparent=False):
    image = PIL.Image.new("P", (4, 4), 1)
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putpixel((1, 0), 2)
    if transparent:
        image.info["transparency"] = 1
    return image


@pytest.mark.parametrize(
    ("image", "suffix", "wanted", "alpha"),
    [
        pytest.param(PIL.Image.new("L", (4, 4), 77), ".png", [77] * 3, None, id="grey"),
        pytest.param(PIL.Image.new("1", (4, 4), 1), ".png", [255] * 3, None, id="1 bit"),
        pytest.param(palette(), ".png", [0, 255, 0], None, id="palette"),
        pytest.param(palette(transparent=True), ".png", [0, 255, 0], 0, id="see-through palette"),
        pytest.param(palette(transparent=True), ".gif", [0, 255, 0], 0, id="see-through GIF"),
        pytest.param(PIL.Image.new("LA", (4, 4), (77, 51)), ".png", [77] * 3, 51, id="LA"),
        pytest.param(PIL.Image.new("RGBA", (4, 4), (1, 2, 3, 51)), ".png", [1, 2, 3], 51,
                     id="RGBA"),
        pytest.param(PIL.Image.new("RGBA", (4, 4), (1, 2, 3, 255)), ".png", [1, 2, 3], None,
                     id="RGBA, opaque"),
        pytest.param(PIL.Image.new("CMYK", (4, 4), (255, 0, 0, 0)), ".tif", [0, 255, 255], None,
                     id="CMYK"),
        pytest.param(PIL.Image.new("CMYK", (4, 4), (255, 0, 0, 0)), ".jpg", [0, 255, 255], None,
                     id="CMYK JPEG"),
        pytest.param(PIL.Image.new("YCbCr", (4, 4), (77, 128, 128)), ".jpg", [77] * 3, None,
                     id="YCbCr"),
        pytest.param(PIL.Image.fromarray(np.full((4, 4), 77 * 257, np.uint16)), ".png", [77] * 3,
                     None, id="16 bit"),
        pytest.param(PIL.Image.fromarray(np.full((4, 4), 1, np.uint16)), ".png", [0] * 3, None,
                     id="16 bit, nearly black"),
        pytest.param(PIL.Image.fromarray(np.full((4, 4), 77 * 257, np.int32)), ".tif", [77] * 3,
                     None, id="32-bit integers"),
    ],
)  # fmt: skip
def test_every_kind_of_pixels_becomes_rgb_with_alpha_apart(tmp_path, image, suffix, wanted, alpha):
    picture = images.read(saved(image, tmp_path / f"a{suffix}"))
    assert picture.pixels.shape == (3, 4, 4)
    assert np.abs(np.subtract(pixel(picture), wanted)).max() <= 1
    if alpha is None:
        assert picture.alpha is None
    else:
        assert picture.alpha.shape == (1, 4, 4)
        assert round(picture.alpha[0, 0, 0].item() * 255) == alpha
    assert picture.notes == ()


def test_a_transparent_grey_of_16_bits_keeps_its_pixels(tmp_path):
    image = PIL.Image.fromarray(np.array([[1000, 32768]], np.uint16))
    picture = images.read(saved(image, tmp_path / "a.png", transparency=1000))
    assert pixel(picture, x=1) == [128] * 3
    assert picture.alpha.tolist() == [[[0, 1]]]


@pytest.mark.parametrize("orientation", [1, 3])
def test_a_tiff_of_16_bits_whose_0_is_white_is_no_negative(tmp_path, orientation):
    image = PIL.Image.fromarray(np.array([[0, 10 * 257]], np.uint16))
    tags = {0x0106: 0, 0x0112: orientation}
    picture = images.read(saved(image, tmp_path / "a.tif", tiffinfo=tags))
    assert pixel(picture, x=0 if orientation == 1 else 1) == [255] * 3
    assert pixel(picture, x=1 if orientation == 1 else 0) == [245] * 3


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0.0, 0.5, 1.0], [0, 0.5, 1]),
        ([0.0, 0.5, 1.2], [0, 0.5, 1]),  # overshoot of a resampling does not darken the rest
        ([-3.0, 0.5, 1.0], [0, 0.5, 1]),
        ([np.nan, 0.5, 1.0], [0, 0.5, 1]),
        ([np.inf, 0.5, 1.0], [1, 0.5, 1]),
        ([0.0, 127.5, 255.0], [0, 0.5, 1]),
        ([0.0, 32767.5, 65535.0], [0, 0.5, 1]),
    ],
)
def test_float_pictures_in_every_usual_scale(tmp_path, values, wanted):
    image = PIL.Image.fromarray(np.array([values], np.float32))
    picture = images.read(saved(image, tmp_path / "a.tif"))
    assert picture.pixels[1, 0].tolist() == pytest.approx(wanted)
    assert picture.notes == ()


def test_integers_beyond_16_bits_are_scaled_with_a_note(tmp_path):
    image = PIL.Image.fromarray(np.array([[0, 10**6, 2 * 10**6]], np.int32))
    picture = images.read(saved(image, tmp_path / "a.tif"))
    assert picture.pixels[0, 0].tolist() == pytest.approx([0, 0.5, 1])
    assert "2e+06" in picture.notes[0]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_of_an_animation_the_first_frame_is_taken_and_the_user_told(tmp_path, suffix):
    first, second = PIL.Image.new("RGB", (8, 8), RED), PIL.Image.new("RGB", (8, 8), BLUE)
    more = {"lossless": True} if suffix == ".webp" else {}
    path = saved(first, tmp_path / f"a{suffix}", save_all=True, append_images=[second], **more)
    picture = images.read(path)
    assert pixel(picture) == list(RED)
    assert picture.notes == ("animated or paged: took the first of 2 frames",)


def test_a_pil_image_is_read_like_its_file_and_left_alone():
    image = photograph().convert("RGBA")
    image.putalpha(100)
    before = image.tobytes()
    picture = images.read(image)
    assert (picture.name, picture.pixels.shape, picture.alpha.shape) == (
        "image", (3, 64, 96), (1, 64, 96),
    )  # fmt: skip
    assert image.tobytes() == before


@pytest.mark.parametrize(
    ("tensor", "alpha"),
    [
        (torch.rand(3, 5, 7), False),
        (torch.rand(1, 3, 5, 7), False),
        (torch.rand(1, 5, 7), False),
        (torch.rand(4, 5, 7), True),
        (torch.cat([torch.rand(3, 5, 7), torch.ones(1, 5, 7)]), False),  # opaque
        (torch.rand(3, 5, 7, dtype=torch.float64), False),
        (torch.rand(3, 5, 7).bfloat16(), False),
        (torch.rand(3, 5, 7, requires_grad=True), False),
    ],
)
def test_tensors_are_pictures_too(tensor, alpha):
    picture = images.read(tensor)
    assert (picture.pixels.shape, picture.pixels.dtype) == ((3, 5, 7), torch.float32)
    assert not picture.pixels.requires_grad
    assert torch.equal(picture.pixels[0], tensor.detach().float().reshape(-1, 5, 7)[0])
    assert (picture.alpha is not None) == alpha


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.rand(5, 7), r"must be \(1\|3\|4,H,W\) in 0..1, got \(5, 7\)"),
        (torch.rand(2, 5, 7), r"got \(2, 5, 7\)"),
        (torch.rand(5, 7, 3), r"got \(5, 7, 3\)"),
        (torch.rand(2, 3, 5, 7), r"got \(2, 3, 5, 7\)"),
        (torch.rand(3, 0, 7), r"got \(3, 0, 7\)"),
        (torch.zeros(3, 5, 7, dtype=torch.uint8), "floating point in 0..1, got torch.uint8"),
        (torch.full((3, 5, 7), 255.0), r"must lie in 0..1, got 255..255"),
        (torch.full((3, 5, 7), -0.5), r"must lie in 0..1, got -0.5..-0.5"),
        (torch.full((3, 5, 7), torch.nan), "must lie in 0..1, got nan"),
    ],
)
def test_tensors_that_are_no_pictures_are_refused(tensor, reason):
    with pytest.raises(ImageError, match=reason):
        images.read(tensor)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_arrays_of_bytes_are_pictures_too(shape):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    picture = images.read(array)
    of_image = images.read(PIL.Image.fromarray(array))
    assert torch.equal(picture.pixels, of_image.pixels)
    assert (picture.alpha is None) == (of_image.alpha is None)


@pytest.mark.parametrize("array", [np.zeros((5, 7, 2), np.uint8), np.zeros((5, 7, 3)), np.zeros(3)])
def test_arrays_that_are_no_pictures_are_refused(array):
    with pytest.raises(ImageError, match=r"a picture array must be \(H,W\), .* uint8, got \("):
        images.read(array)


def png_that_claims(width, height):
    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def encoded(format_):
    buffer = io.BytesIO()
    photograph().save(buffer, format_)
    return buffer.getvalue()


BAD_FILES = {
    "empty.png": (b"", "the file is empty (0 bytes)"),
    "text.png": (b"this is no picture\n" * 20, "not a picture that Pillow can read"),
    "zeros.jpg": (bytes(5000), "not a picture that Pillow can read"),
    "cut.jpg": (encoded("JPEG")[:1500], "cannot read the picture: image file is truncated"),
    "cut.png": (encoded("PNG")[:5000], "cannot read the picture: "),
    "cut.webp": (encoded("WEBP")[:500], "cannot read the picture: "),
    "cut.gif": (encoded("GIF")[:2000], "cannot read the picture: "),
    "cut.tif": (encoded("TIFF")[:2000], "cannot"),
    "cut.bmp": (encoded("BMP")[:2000], "cannot read the picture: image file is truncated"),
    "broken.png": (encoded("PNG").replace(b"IDAT", b"IDAX"), ""),
    "no head.png": (b"\x89PNG\r\n\x1a\n", ""),
    "bomb.png": (png_that_claims(30000, 30000), "megapixels; if you trust it, add --allow-large"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_line_that_names_it(tmp_path, name):
    content, reason = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    limit = PIL.Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageError) as caught:
        images.read(path)
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert limit == PIL.Image.MAX_IMAGE_PIXELS


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "portrait.jpg").touch()
    with pytest.raises(ImageError, match=r"no such file; did you mean 'portrait.jpg'\?"):
        images.read(tmp_path / "portait.jpg")
    with pytest.raises(ImageError, match=r"no such file$"):
        images.read(tmp_path / "nowhere" / "portrait.jpg")


def test_a_folder_and_an_impossible_name_are_refused(tmp_path):
    with pytest.raises(ImageError, match="is a folder, not a picture"):
        images.read(tmp_path)
    with pytest.raises(ImageError, match="cannot read the picture"):
        images.read("x" * 300 + ".png")
    with pytest.raises(ImageError, match="no pixels"):
        images.read(PIL.Image.new("RGB", (0, 0)))


def test_a_pil_image_whose_file_is_damaged_is_an_image_error(tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(encoded("JPEG")[:1500])
    with PIL.Image.open(path) as image, pytest.raises(ImageError, match="truncated"):
        images.read(image)


def test_a_large_picture_is_read_if_asked_for_and_the_limit_stays(tmp_path, monkeypatch):
    path = saved(photograph(96, 64), tmp_path / "large.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)  # a bomb is twice that
    with pytest.raises(ImageError, match="--allow-large"):
        images.read(path)
    assert images.read(path, allow_large=True).pixels.shape == (3, 64, 96)
    assert PIL.Image.MAX_IMAGE_PIXELS == 1000
    (tmp_path / "cut.png").write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ImageError, match="cannot read"):
        images.read(tmp_path / "cut.png", allow_large=True)
    assert PIL.Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 4000)  # large, but below twice that
    assert images.read(path).notes == ()


def test_looking_at_a_bomb_decodes_nothing(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_claims(30000, 30000))
    assert encoding.inspect(path) == {
        "file": "bomb.png", "format": "PNG", "width": 30000, "height": 30000, "mode": "1",
        "made_with": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("size", "long_side", "wanted"),
    [
        ((64, 96), None, (64, 96)),
        ((64, 96), 96, (64, 96)),
        ((64, 96), 48, (32, 48)),
        ((96, 64), 48, (48, 32)),
        ((64, 96), 192, (128, 192)),
        ((1, 300), 30, (1, 30)),
        ((5, 5), 1, (1, 1)),
    ],
)
def test_resize_brings_the_long_side_to_a_length(size, long_side, wanted):
    resized = images.resize(torch.rand(3, *size), long_side)
    assert resized.shape == (3, *wanted)
    assert 0 <= resized.min() <= resized.max() <= 1


def test_a_smaller_photograph_looks_as_pillow_would_make_it():
    photo = photograph(96, 96)
    small = images.resize(images.read(photo).pixels, 24)
    pillow = images.read(photo.resize((24, 24), PIL.Image.Resampling.BICUBIC)).pixels
    assert (small - pillow).abs().mean() < 0.01


@pytest.mark.parametrize("size", [(8, 8), (8, 11), (30, 20), (1, 5)])
def test_square_is_the_middle_of_a_picture_in_its_size(size):
    picture = images.read(torch.rand(3, *size))
    middle = images.square(picture, min(size))
    top, left = ((length - min(size)) // 2 for length in size)
    assert torch.equal(middle, picture.pixels[:, top:, left:][:, : min(size), : min(size)])
    assert torch.equal(images.square(picture, 8), images.resize(middle, 8))


def test_square_shows_white_through_what_is_transparent():
    alpha = torch.linspace(0, 1, 8).expand(1, 8, 8)
    found = images.square(images.read(torch.cat([torch.zeros(3, 8, 8), alpha])), 8)
    assert torch.equal(found, (1 - alpha).expand(3, -1, -1))
    bright = images.square(images.read(torch.cat([torch.ones(3, 9, 9), torch.rand(1, 9, 9)])), 8)
    assert 0.999 < bright.min() <= bright.max() <= 1


class Told(Progress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_a_context_reads_squares_and_tells_what_became_of_the_rest(tmp_path):
    told = Told()
    context = Context(choose("cpu", "fp32"), seed=0, progress=told)
    rows = np.linspace(0, 255, 12 * 8 * 4).reshape(12, 8, 4).astype(np.uint8)
    path = saved(PIL.Image.fromarray(rows, "RGBA"), tmp_path / "a.b.png")
    picture = context.read_square(path, 8)
    colour, alpha = (torch.from_numpy(p).permute(2, 0, 1) / 255 for p in np.split(rows, [3], 2))
    wanted = (colour * alpha + 1 - alpha)[:, 2:10]
    assert torch.allclose(picture.pixels, wanted, atol=1e-6)
    assert (picture.alpha, picture.name) == (None, "a.b")
    assert told.notes == [
        "a.b.png: brought from 8x12 to 8x8, which these weights are for",
        "a.b.png: what is transparent became white",
    ]
    told.notes.clear()
    assert torch.equal(context.read_square(wanted, 8).pixels, wanted)
    assert not told.notes
