"""Walks through latent space keep to where latents lie."""

import pytest
import torch

from gentool.latents import slerp


def test_slerp_keeps_angle_and_length():
    a, b = torch.randn(2, 400, generator=torch.Generator().manual_seed(0))
    middle = slerp(a, b, 0.5)
    assert middle.norm() == pytest.approx((a.norm() + b.norm()).item() / 2, rel=1e-3)
    assert torch.dot(middle, a) / a.norm() == pytest.approx(
        (torch.dot(middle, b) / b.norm()).item(), rel=1e-3
    )
    assert torch.allclose(slerp(a, b, 0.0), a, atol=1e-5)
    assert torch.allclose(slerp(a, b, 1.0), b, atol=1e-5)


def test_slerp_of_the_same_of_opposites_and_of_nothing():
    a = torch.randn(64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(slerp(a, a, 0.3), a, atol=1e-5)
    for share, wanted in ((0.0, a), (0.25, a / 2), (1.0, -a)):
        assert torch.allclose(slerp(a, -a, share), wanted, atol=1e-5)
    assert slerp(a, torch.zeros(64), 0.5).isfinite().all()
