"""PSNR and SSIM against scikit-image's."""

import pytest
import torch
from skimage import data, metrics

from gentool.similarity import psnr, ssim


@pytest.fixture
def pair():
    """A photograph, twice, and with two kinds of noise: (2,3,H,W) each."""
    photo = torch.from_numpy(data.coffee()[:, ::3].copy()).permute(2, 0, 1).float() / 255
    noise = torch.randn(2, *photo.shape, generator=torch.Generator().manual_seed(0))
    clean = photo.expand(2, -1, -1, -1)
    return clean, (clean + noise * torch.tensor([0.03, 0.1]).view(2, 1, 1, 1)).clamp(0, 1)


def test_they_are_those_of_scikit_image(pair):
    found = psnr(*pair), ssim(*pair)
    paper = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for i, (a, b) in enumerate(zip(*(pictures.numpy() for pictures in pair), strict=True)):
        wanted = metrics.peak_signal_noise_ratio(a, b, data_range=1)
        assert found[0][i].item() == pytest.approx(wanted, abs=1e-4)
        luma = [0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2] for x in (a, b)]
        _, full = metrics.structural_similarity(*luma, data_range=1, full=True, **paper)
        assert found[1][i].item() == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-4)


@pytest.mark.parametrize("size", [(400, 200), (3, 20), (1, 1)])
def test_equal_pictures(pair, size):
    same = pair[1][:, :, : size[0], : size[1]]
    assert psnr(same, same).isinf().all()
    assert ssim(same, same).tolist() == pytest.approx([1, 1])
