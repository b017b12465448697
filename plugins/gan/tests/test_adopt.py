"""A training may begin with a generator of other classes."""

from dataclasses import replace

import pytest
import torch

from gentool_gan.adopt import adopt, fits
from gentool_gan.nets import GAN, Config

TINY = Config(widths=(16, 8, 8, 4), latent=8, classes=("cat", "dog", "owl"))
LATENTS = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))


def model(*classes, seed):
    torch.manual_seed(seed)
    made = GAN(replace(TINY, classes=classes))
    with torch.no_grad():  # what training does to them
        for name, parameter in made.generator.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)
    return made.eval()


def test_classes_of_the_same_name_go_on():
    given, own = model("cat", "dog", "owl", seed=0), model("bee", "owl", seed=1)
    assert fits(own, given)
    adopt(own, given)
    owls = own(LATENTS, torch.full((4,), 1))
    assert torch.allclose(owls, given(LATENTS, torch.full((4,), 2)), atol=1e-6)
    bees = own(LATENTS, torch.zeros(4, dtype=torch.long))
    assert (bees - owls).abs().mean() > 1e-3


def test_without_classes_it_draws_their_mean():
    given, own = model("cat", "dog", "owl", seed=0), model(seed=1)
    adopt(own, given)
    shares = torch.full((4, 3), 1 / 3)
    assert torch.allclose(own(LATENTS, None), given(LATENTS, shares), atol=1e-5)


def test_classes_that_are_new_to_it_begin_as_one():
    given, own = model(seed=0), model("cat", "dog", seed=1)
    adopt(own, given)
    for number in (0, 1):
        made = own(LATENTS, torch.full((4,), number))
        assert torch.allclose(made, given(LATENTS, None), atol=1e-5)


@pytest.mark.parametrize("change", [{"latent": 9}, {"widths": (16, 8, 8, 8)}, {}])
def test_what_differs_in_more_or_in_nothing_is_not_adopted(change):
    given = model("cat", "dog", "owl", seed=0)
    other = GAN(replace(TINY, **change or {"classes": given.config.classes}))
    assert not fits(other, given)
