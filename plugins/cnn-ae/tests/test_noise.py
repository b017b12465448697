"""The noise of a picture."""

import pytest
import torch
from skimage import data

from gentool_cnn_ae.noise import kept, noise_of


@pytest.fixture
def coffee():
    return torch.from_numpy(data.coffee()[::3, ::3].copy()).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_noise_is_estimated(coffee, sigma):
    noisy = coffee * 0.5 + 0.25
    noisy = noisy + sigma / 255 * torch.randn(coffee.shape, generator=torch.Generator())
    assert 255 * noise_of(noisy) == pytest.approx(sigma, rel=0.2)


def test_one_pixel_has_no_noise():
    assert noise_of(torch.rand(3, 1, 1)) == 0


def test_what_is_transparent_or_cut_off_tells_nothing_of_noise(coffee):
    noisy = coffee * 0.5 + 0.25 + 0.1 * torch.randn(coffee.shape, generator=torch.Generator())
    noisy[:, : noisy.shape[1] * 2 // 3] = 0.5
    alpha = (noisy[:1] != 0.5).float()
    assert noise_of(noisy) == 0
    assert noise_of(noisy, alpha) == pytest.approx(0.1, rel=0.2)
    noisy[:, : noisy.shape[1] * 2 // 3] = 1.0
    assert noise_of(noisy) == pytest.approx(0.1, rel=0.2)


def test_where_the_denoiser_loses_more_than_the_noise_the_picture_is_kept(coffee):
    noise = 0.05
    generator = torch.Generator().manual_seed(0)
    noisy = coffee + noise * torch.randn(coffee.shape, generator=generator)
    denoised = coffee.clone()
    denoised[:, :, :60] = 0.5  # it cannot draw what is there
    found = kept(noisy, denoised, noise, None)
    assert (found - noisy)[:, :, :30].abs().mean() < 0.2 * (denoised - noisy)[
        :, :, :30
    ].abs().mean()
    assert (found - coffee)[:, :, 120:].abs().mean() < 0.1 * noise  # elsewhere it is trusted


def test_what_is_transparent_keeps_no_noise_in_what_is_seen(coffee):
    noise = 0.05
    noisy = coffee + noise * torch.randn(coffee.shape, generator=torch.Generator())
    denoised, alpha = coffee.clone(), torch.ones_like(coffee[:1])
    denoised[:, :, :60] = 0.5
    alpha[:, :, :60] = 0
    found = kept(noisy, denoised, noise, alpha)
    assert (found - coffee)[:, :, 60:].abs().mean() < 0.1 * noise


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (16, 33)])
def test_small_pictures_and_no_noise(size):
    picture = torch.rand(3, *size)
    assert torch.equal(kept(picture, picture, 0.0, None), picture)
