"""Losses against their definitions; augmentation against what it says it does."""

import pytest
import torch
import torch.nn.functional as F

from gentool_gan.augment import AUGMENTATIONS, augment, cutout, translation
from gentool_gan.losses import GAMES, r1

REAL, FAKE = torch.tensor([2.0, -0.5, 0.3]), torch.tensor([-3.0, 0.7, 0.0])


def test_bce_is_binary_cross_entropy():
    ones, zeros = torch.ones(3), torch.zeros(3)
    expected = F.binary_cross_entropy_with_logits(REAL, ones)
    expected += F.binary_cross_entropy_with_logits(FAKE, zeros)
    assert GAMES["bce"].discriminator(REAL, FAKE) == pytest.approx(expected.item())
    expected = F.binary_cross_entropy_with_logits(FAKE, ones)
    assert GAMES["bce"].generator(REAL, FAKE) == pytest.approx(expected.item())


def test_hinge_and_relativistic():
    assert GAMES["hinge"].discriminator(REAL, FAKE) == pytest.approx((2.2 + 2.7) / 3)
    assert GAMES["hinge"].generator(REAL, FAKE) == pytest.approx(2.3 / 3)
    relativistic = GAMES["relativistic"]
    expected = F.softplus(FAKE - REAL).mean().item()
    assert relativistic.discriminator(REAL, FAKE) == pytest.approx(expected)
    assert relativistic.generator(FAKE, REAL) == pytest.approx(expected)


def test_r1_of_a_linear_function_is_half_its_squared_norm():
    slope = torch.randn(3, 4, 4)
    pictures = torch.rand(5, 3, 4, 4, requires_grad=True)
    penalty = r1(pictures, (pictures * slope).sum((1, 2, 3)))
    assert penalty == pytest.approx(slope.square().sum().item() / 2, rel=1e-5)


def test_translation_moves_whole_pixels_of_each_picture():
    x = torch.arange(1.0, 65).view(1, 1, 8, 8).repeat(50, 1, 1, 1)
    moved = translation(x)
    places = set()
    for picture in moved[:, 0]:
        row, column = (picture == 28).nonzero()[0].tolist()  # from the middle: never lost
        places.add((row - 3, column - 3))
        assert picture[picture != 0].unique().numel() == (picture != 0).sum()
    assert {abs(a) for place in places for a in place} == {0, 1}
    assert len(places) == 9


def test_cutout_takes_a_square_of_half_the_side():
    holes = [(picture == 0).sum().item() for picture in cutout(torch.ones(200, 1, 8, 8))]
    assert max(holes) == 16
    assert all(hole in {4, 6, 8, 9, 12, 16} for hole in holes)


@pytest.mark.parametrize("word", AUGMENTATIONS)
def test_augmentations_let_gradients_through_and_follow_the_generator(word):
    x = torch.rand(6, 3, 16, 16, requires_grad=True)
    torch.manual_seed(3)
    first = augment(x, [word])
    torch.manual_seed(3)
    assert torch.equal(augment(x, [word]), first)
    first.sum().backward()
    assert first.shape == x.shape
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0
    assert not torch.equal(first, x)


def test_no_policy_changes_nothing():
    x = torch.rand(2, 3, 8, 8)
    assert augment(x, []) is x
