"""Loss, exact tiles and minimizers, without the command around them."""

import pytest
import torch

from gentool.compute import choose
from gentool_gatys.minimize import LBFGS, Adam
from gentool_gatys.objective import Objective, Region, Seen, Weights
from gentool_gatys.run import Run
from gentool_gatys.tiles import cover, reach
from gentool_perceptual.features import Features

from .conftest import LAYERS, photo


@pytest.mark.parametrize("masked", [False, True])
def test_tiles_give_the_loss_and_gradient_of_the_whole(network, masked):
    features = Features.load([network], LAYERS).double()
    image, content = photo("astronaut", 288, 320).double(), photo("chelsea", 288, 320).double()
    shares = Weights(
        {"relu4_1": 1.0}, dict(zip(LAYERS, (0.1, 0.2, 0.3, 0.2, 0.2), strict=True)), 1, 20, 0.5, 0.3
    )
    compute, found = choose("cpu", "fp32"), []
    masks = [None]
    if masked:
        ramp = torch.linspace(0, 1, 320, dtype=torch.float64).expand(1, 1, 288, 320)
        masks = [ramp, 1 - ramp]
    for side in (0, 96, 160):
        seen = Seen(features, compute, side)
        styles = [photo("coffee", 200, 230).double(), photo("rocket", 190, 260).double()]
        regions = [
            Region(seen.grams(style, LAYERS), mask, 1 / len(masks))
            for style, mask in zip(styles, masks, strict=False)
        ]
        found.append(Objective(seen, content, regions, shares)(image))
    (terms, gradient), *tiled = found
    assert set(terms) == {"content", "style", "l2", "tv", "total"}
    for other, slope in tiled:
        # losses take features as float32, whatever they are computed in
        assert other == pytest.approx(terms, rel=1e-5)
        assert (slope - gradient).abs().max() < 1e-4 * gradient.abs().max()


def test_a_last_tile_without_a_cell_of_its_own_adds_nothing(network):
    features, compute = Features.load([network], LAYERS), choose("cpu", "fp32")
    style = photo("coffee", 64, 580)  # ends in a tile of 4 pixels
    whole = Seen(features, compute).grams(style, LAYERS)
    for name, gram in Seen(features, compute, 96).grams(style, LAYERS).items():
        assert torch.allclose(gram, whole[name], rtol=1e-3, atol=1e-6), name


def test_tiles_see_what_their_deepest_layer_sees():
    assert [reach(layers) for layers in (LAYERS, ["relu1_1"], ["relu5_4", "relu5_1"])] == [
        80,
        80,
        128,
    ]


def test_tiles_cover_everything_once():
    for height, width, side in ((16, 16, 0), (300, 520, 128), (1024, 96, 100)):
        count = torch.zeros(1, 1, height, width)
        for tile in cover(count, side, 80):
            count[
                ..., tile.rows.first : tile.rows.last, tile.columns.first : tile.columns.last
            ] += 1
        assert (count == 1).all()


def test_lbfgs_solves_what_gradient_descent_cannot():
    torch.manual_seed(0)
    scales = torch.logspace(0, 4, 30)
    start = torch.randn(30)
    x, downhill, minimizer = start, start, LBFGS()
    for _ in range(200):
        x = minimizer.step(x, (scales * x * x).sum().item() / 2, scales * x)
        downhill = downhill - scales * downhill / scales.max()
    assert (scales * x * x).sum() < 1e-3
    assert (scales * downhill * downhill).sum() > 1


def test_lbfgs_goes_back_from_a_step_that_fails():
    minimizer, x = LBFGS(), torch.ones(4)
    tried = minimizer.step(x, 1.0, torch.ones(4))
    again = minimizer.step(tried, float("nan"), torch.full((4,), float("nan")))
    assert torch.allclose(again - x, (tried - x) / 4)
    third = minimizer.step(again, 50.0, torch.ones(4))
    assert 0 < (third - x).norm() < (again - x).norm()


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_both_optimizers_lower_the_loss(network, optimizer):
    features = Features.load([network], LAYERS)
    seen = Seen(features, choose("cpu", "fp32"))
    content = photo("chelsea", 64, 96)
    equal = dict.fromkeys(LAYERS, 0.2)
    goal = Region(seen.grams(photo("coffee", 64, 96), LAYERS))
    loss = Objective(seen, content, [goal], Weights({"relu4_1": 1.0}, equal))
    run = Run(loss, content, LBFGS() if optimizer == "lbfgs" else Adam(), 25)
    run.advance(25)
    totals = [terms["total"] for terms in run.curve]
    assert min(totals) < (0.5 if optimizer == "lbfgs" else 0.8) * totals[0]
    # what is shown is what is saved: 8 bits change next to nothing
    saved = loss.terms((run.picture * 255).round() / 255)["total"]
    assert saved == pytest.approx(min(totals), rel=0.02)


def test_it_stops_by_itself_when_nothing_improves(network):
    seen = Seen(Features.load([network], LAYERS), choose("cpu", "fp32"))
    content = photo("chelsea", 64, 64)
    goal = Region(seen.grams(photo("coffee", 64, 64), LAYERS))
    equal = dict.fromkeys(LAYERS, 0.2)
    loss = Objective(seen, content, [goal], Weights({"relu4_1": 1.0}, equal))
    run = Run(loss, content, LBFGS(), 500, tolerance=0.2)
    run.advance(500)
    assert run.finished
    assert 40 <= len(run.curve) < 300
