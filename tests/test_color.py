"""Colors of a content, kept."""

import pytest
import torch
from skimage import data

from gentool.color import keep_luminance, match_colors


@pytest.mark.parametrize("function", [keep_luminance, match_colors])
def test_pictures_on_a_device_stay_there(function):
    pictures = [torch.rand(3, 8, 8, device="meta") for _ in range(2)]
    kept = function(*pictures)
    assert kept.device.type == "meta"
    assert kept.shape == (3, 8, 8)


def test_keep_luminance_takes_only_light_and_dark():
    torch.manual_seed(0)
    content, result = torch.rand(3, 8, 8) * 0.2 + 0.4, torch.rand(3, 8, 8) * 0.2 + 0.4
    kept = keep_luminance(result, content)
    luma = torch.tensor([0.299, 0.587, 0.114])
    assert torch.allclose(
        torch.einsum("c,chw->hw", luma, kept),
        torch.einsum("c,chw->hw", luma, result),
        atol=2e-3,
    )


@pytest.fixture
def pictures():
    """Two photographs (3,H,W) in 0..1 of other colors."""
    return [
        torch.from_numpy(p.copy()).permute(2, 0, 1) / 255 for p in (data.chelsea(), data.coffee())
    ]


def test_match_colors_takes_mean_and_covariance(pictures):
    content, style = pictures
    matched = match_colors(style * 0.4 + 0.3, content * 0.4 + 0.3)
    target = content * 0.4 + 0.3
    assert torch.allclose(matched.mean((1, 2)), target.mean((1, 2)), atol=0.01)
    assert torch.allclose(matched.flatten(1).cov(), target.flatten(1).cov(), atol=0.003)


def test_match_colors_of_grey_and_flat_pictures_is_finite(pictures):
    content = pictures[0]
    grey = content.mean(0, keepdim=True).expand(3, -1, -1)
    for a, b in ((grey, content), (content, grey), (torch.zeros(3, 4, 4), content)):
        assert match_colors(a, b).isfinite().all()
