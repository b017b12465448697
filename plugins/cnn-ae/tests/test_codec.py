"""Pictures to files and back: exact symbols, sizes, tiles, alpha, grey, limits."""

import numpy as np
import pytest
import torch

from gentool.compute import exactly
from gentool.images import to_pil
from gentool.similarity import psnr
from gentool_cnn_ae import codec as codec_module
from gentool_cnn_ae import tiles
from gentool_cnn_ae.basis import STRIDE
from gentool_cnn_ae.codec import Codec, fingerprint
from gentool_cnn_ae.container import Container, FormatError
from gentool_cnn_ae.nets import CnnAe
from gentool_cnn_ae.options import LEVELS
from gentool_cnn_ae.tiles import tiles_of

from .conftest import small_model


@pytest.mark.parametrize("level", [0, 4, 7])
def test_symbols_come_back_exactly(codec, photo, level):
    data = codec.compress(photo, level)
    file = Container.unpack(data, 2048, LEVELS)
    ((data, symbols),) = codec.coded(photo, level)
    assert [data] == file.tiles
    assert np.array_equal(codec.decoded(file), symbols)


def test_higher_quality_is_nearer_and_larger(codec, photo):
    files = [codec.compress(photo, level) for level in range(LEVELS)]
    sizes = [len(file) for file in files]
    found = [psnr(codec.decompress(file).pixels[None], photo[None]) for file in files]
    assert sizes == sorted(sizes)
    assert found == sorted(found)
    assert sizes[-1] < photo.numel() / 4  # it compresses, even untrained


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (15, 17), (16, 16), (33, 20)])
def test_any_size_keeps_its_size(codec, photo, size):
    picture = photo[:, : size[0], : size[1]]
    decoded = codec.decompress(codec.compress(picture, 7)).pixels
    assert decoded.shape == picture.shape
    assert psnr(decoded[None], picture[None]) > 15


def test_alpha_comes_back_without_loss(codec, photo):
    alpha = (torch.rand(1, *photo.shape[1:]) * 255).round() / 255
    decoded = codec.decompress(codec.compress(photo, 3, alpha))
    assert torch.equal(decoded.alpha, alpha)
    assert codec.decompress(codec.compress(photo, 3)).alpha is None


def test_grey_pictures_stay_grey(codec, photo):
    grey = photo.mean(0, keepdim=True).expand(3, -1, -1)
    assert codec.decompress(codec.compress(grey, 5)).pixels.shape[0] == 1
    assert codec.tiled.denoise(grey, 0.1).shape == (1, *photo.shape[1:])
    assert codec.decompress(codec.compress(photo, 5)).pixels.shape[0] == 3


def test_symbols_beyond_the_tables_escape(codec):
    checker = torch.zeros(3, 32, 48)
    checker[:, ::2, 1::2] = checker[:, 1::2, ::2] = 1
    with torch.no_grad():
        codec.model.gains.log += 6  # 400 times as large as the entropy model expects
    codec._priors.clear()
    codec.id = fingerprint(codec.model)
    ((_, symbols),) = codec.coded(checker, 7)
    assert np.abs(symbols).max() > 255
    file = Container.unpack(codec.compress(checker, 7), 2048, LEVELS)
    assert np.array_equal(codec.decoded(file), symbols)


def test_tiles_give_the_pixels_of_one_piece(codec, photo, monkeypatch):
    ((_, whole),) = codec.coded(photo, 7)
    in_one = codec.tiled.synthesise(whole, 7)
    cleaned = codec.tiled.denoise(photo, 0.1)
    monkeypatch.setattr(tiles, "TILE", 3)
    assert len([*tiles_of(whole.shape)]) == 6
    for tiled, piece in (
        (codec.tiled.synthesise(whole, 7), in_one),
        (codec.tiled.denoise(photo, 0.1), cleaned),
    ):
        off = np.array(to_pil(tiled)).astype(int) - np.array(to_pil(piece))
        assert abs(off).max() <= 1  # a float may lie on either side of a half
        assert (off != 0).mean() < 1e-3
    file = Container.unpack(codec.compress(photo, 7), 3 * STRIDE, LEVELS)
    assert len(file.tiles) == 6
    # contexts end with a tile, so a few symbols round in another way
    assert np.abs(codec.decoded(file) - whole).max() <= 1


def test_reach_is_how_far_pixels_matter(codec, photo):
    """What lies further off than the halo of a tile changes nothing."""
    encoder, decoder = codec.model.encoder, codec.model.decoder
    far = (2 * max(encoder.REACH, decoder.REACH) + 1) * STRIDE
    picture = torch.rand(1, 3, far, STRIDE)
    changed = picture.clone()
    changed[:, :, :STRIDE] = 0
    level, noise = torch.tensor([0]), torch.zeros(1)
    off = (encoder(picture, noise) - encoder(changed, noise)).abs().amax((0, 1, 3))
    assert off.nonzero().max() <= encoder.REACH
    assert not off[encoder.REACH + 1 :].any()
    latents = torch.randn(1, 24, 2 * decoder.REACH + 1, 1)
    other = latents.clone()
    other[:, :, 0] = 0
    off = (decoder(latents, level) - decoder(other, level)).abs().amax((0, 1, 3))
    assert not off[(decoder.REACH + 1) * STRIDE :].any()
    assert off[(decoder.REACH - 1) * STRIDE :].any()


def test_threads_change_nothing(context, photo):
    torch.manual_seed(0)
    model = CnnAe().eval().requires_grad_(False).to(memory_format=torch.channels_last)
    codec = Codec(model, context)
    data, before = codec.compress(photo, 5), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(codec.decompress(data).pixels)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_threads_change_nothing_in_a_large_picture():
    torch.manual_seed(0)
    model = CnnAe().to(memory_format=torch.channels_last)
    picture = torch.rand(1, 3, 640, 960).contiguous(memory_format=torch.channels_last)
    latents = torch.randn(1, 288, 40, 60).contiguous(memory_format=torch.channels_last)
    before, found = torch.get_num_threads(), []
    try:
        with torch.inference_mode():
            for threads in (1, 2):
                torch.set_num_threads(threads)
                codes = model.encoder(picture, torch.tensor([0.1]))
                found.append((codes, model.decoder(latents, torch.tensor([3]))))
    finally:
        torch.set_num_threads(before)
    codes, pictures = zip(*found, strict=True)
    assert torch.equal(*codes)
    assert torch.equal(*pictures)


def test_other_weights_are_refused(codec, photo, context):
    other = Codec(small_model(seed=1), context)
    with pytest.raises(FormatError, match=f"other weights.*{codec.id.hex()}.*--weights"):
        other.decompress(codec.compress(photo, 2))


def test_large_pictures_need_the_users_trust(codec, photo, monkeypatch):
    data = codec.compress(photo, 2)
    monkeypatch.setattr(codec_module, "LARGE", 1000)
    with pytest.raises(FormatError, match="112 x 96 pixels; if you trust it, add --allow-large"):
        codec.decompress(data)
    codec.context.allow_large = True
    assert codec.decompress(data).pixels.shape == photo.shape


def test_float32_without_short_cuts():
    before = torch.backends.cudnn.allow_tf32
    with exactly():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before
