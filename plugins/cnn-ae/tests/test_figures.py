"""PSNR, SSIM and the noise of a picture."""

import math

import pytest
import torch
from skimage import data, metrics

from gentool_cnn_ae.figures import noise_of, psnr, ssim


@pytest.fixture
def coffee():
    return torch.from_numpy(data.coffee()[::3, ::3].copy()).permute(2, 0, 1).float() / 255


def test_psnr_and_ssim_are_those_of_scikit_image(coffee):
    other = (coffee + 0.05 * torch.randn(coffee.shape, generator=torch.Generator())).clamp(0, 1)
    a, b = coffee.numpy(), other.numpy()
    assert psnr(other, coffee) == pytest.approx(
        metrics.peak_signal_noise_ratio(a, b, data_range=1), abs=1e-4
    )
    luma = [0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2] for x in (a, b)]
    like_the_paper = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, full = metrics.structural_similarity(*luma, data_range=1, full=True, **like_the_paper)
    assert ssim(other, coffee) == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-4)


def test_equal_pictures(coffee):
    assert psnr(coffee, coffee) == math.inf
    assert ssim(coffee, coffee) == pytest.approx(1)
    assert ssim(coffee[:, :3, :1], coffee[:, :3, :1]) == pytest.approx(1)


@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_noise_is_estimated(coffee, sigma):
    noisy = coffee * 0.5 + 0.25
    noisy = noisy + sigma / 255 * torch.randn(coffee.shape, generator=torch.Generator())
    assert 255 * noise_of(noisy) == pytest.approx(sigma, rel=0.2)


def test_one_pixel_has_no_noise():
    assert noise_of(torch.rand(3, 1, 1)) == 0
