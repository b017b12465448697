"""Colors of a content, kept."""

import pytest
import torch

from gentool.color import keep_luminance, match_colors


@pytest.mark.parametrize("function", [keep_luminance, match_colors])
def test_pictures_on_a_device_stay_there(function):
    pictures = [torch.rand(3, 8, 8, device="meta") for _ in range(2)]
    kept = function(*pictures)
    assert kept.device.type == "meta"
    assert kept.shape == (3, 8, 8)
