"""Losses on pictures, and metrics, by name, on the packaged network and real pictures."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from gentool import UsageError, losses, metrics
from gentool_perceptual.metrics import FrechetDistance, PrecisionRecall


def photo(name, size=64):
    array = np.array(Image.fromarray(getattr(data, name)()).resize((size, size)))
    return torch.from_numpy(array).permute(2, 0, 1)[None] / 255


def test_everything_on_offer_can_be_built():
    for name in ("content", "gram", "style-statistics", "sliced-wasserstein"):
        assert losses.get(name)(["relu1_1"])
    for name in ("perceptual", "l1", "l2", "total-variation"):
        assert losses.get(name)()
    for name in metrics.names():
        assert metrics.get(name)()


def test_pixel_losses_are_the_textbook_ones():
    a, b = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)
    assert losses.get("l1")()(a, b)["l1"] == 0.5
    assert losses.get("l2")()(a, b)["l2"] == 0.25
    flat = losses.get("total-variation")()(b)["total-variation"]
    assert flat == 0
    step = torch.zeros(1, 1, 2, 2)
    step[..., 1] = 1.0  # two neighbours that differ by one, over four pixels
    assert losses.get("total-variation")()(step)["total-variation"] == 0.5


def test_sliced_wasserstein_sees_order_in_neither_space_nor_size():
    torch.manual_seed(0)
    loss = losses.get("sliced-wasserstein")(["x"], generator=torch.Generator().manual_seed(0))
    f = torch.rand(1, 6, 8, 8)
    shuffled = f.flatten(2)[..., torch.randperm(64)].view(1, 6, 8, 8)
    assert loss({"x": shuffled}, {"x": f})["sliced-wasserstein"] < 1e-10
    larger = f.repeat(1, 1, 2, 2)
    assert loss({"x": larger}, {"x": f})["sliced-wasserstein"] < 0.01
    assert loss({"x": f + 1}, {"x": f})["sliced-wasserstein"] > 0.1


def test_the_perceptual_loss_prefers_the_same_picture_shifted_in_color_to_another():
    loss = losses.get("perceptual")()
    cat, woman = photo("chelsea"), photo("astronaut")
    near, far = (cat * 0.9).requires_grad_(), woman
    terms = loss(near, cat)
    assert 0 < terms["perceptual"] < 0.5 * loss(far, cat)["perceptual"]
    terms["perceptual"].backward()
    assert near.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["content-distance", "style-distance", "perceptual-distance"])
def test_distances_are_zero_at_the_target_and_grow(name):
    distance = metrics.get(name)()
    cat, woman = photo("chelsea"), photo("astronaut")
    near = cat.lerp(woman, 0.1)
    for term, value in distance(cat, cat).items():
        assert value == pytest.approx(0, abs=1e-5)
        assert 0 < distance(near, cat)[term] < distance(woman, cat)[term]


def test_sets_of_the_same_pictures_are_near_and_collapse_shows_in_recall():
    image = photo("chelsea", 160)
    crops = torch.cat(
        [image[..., y : y + 64, x : x + 64] for y in range(0, 96, 24) for x in range(0, 96, 24)]
    )
    other = torch.rand(16, 3, 64, 64)
    distance = FrechetDistance()
    manifold = PrecisionRecall(distance.features)
    near = distance(crops.flip(3), crops)["frechet"]
    assert near < 0.5 * distance(other, crops)["frechet"]
    assert manifold(crops, crops) == {"precision": 1.0, "recall": 1.0}
    collapsed = crops[:1].repeat(16, 1, 1, 1)
    found = manifold(collapsed, crops)
    assert found["precision"] == 1.0
    assert found["recall"] < 0.5
    with pytest.raises(UsageError, match="more than 5"):
        manifold(crops[:3], crops)
