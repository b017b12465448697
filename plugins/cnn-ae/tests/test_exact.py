"""The entropy model in whole numbers: near the one that was trained, the same in any order."""

import math

import numpy as np
import pytest
import torch

from gentool import WeightsError
from gentool_cnn_ae import coder
from gentool_cnn_ae.coder import Alphabets, Board
from gentool_cnn_ae.exact import ExactPart, ExactPrior
from gentool_cnn_ae.options import LEVELS
from gentool_cnn_ae.prior import bits, chessboard
from gentool_cnn_ae.tables import SCALES, SMALLEST, STEP, TOTAL, logistic, radius, shape, whole

from .conftest import small_model


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def symbols():
    """(7,9,24), small to large."""
    sizes = np.linspace(6, 0.3, 24)
    return np.random.default_rng(0).normal(0, sizes, (7, 9, 24)).round().astype(np.int16)


def test_whole_numbers_say_what_the_trained_networks_say(model, symbols):
    """Means within a sixteenth of a symbol, scale indices within a half: the rounding itself."""
    level = 3
    known = torch.from_numpy(symbols).permute(2, 0, 1)[None].float()
    means, scales = (x[0] for x in model.prior(known, torch.tensor([level])))
    prior, board = ExactPrior(model.prior, level), Board(7, 9, 24)
    odd = chessboard(7, 9, odd=True)
    order = iter([(number, colour) for number in range(5) for colour in (False, True)])

    def code(part):
        number, colour = next(order)
        mean, scale = prior.guess(number, colour, board.symbols, part.at)
        squares = odd == colour
        assert np.abs(mean.T / 8 - means[part.own][:, squares].numpy()).max() < 1 / 16 + 1e-2
        wanted = scales[part.own][:, squares].clamp(0, SCALES - 1).numpy()
        assert np.abs(scale.T - wanted).max() < 0.5 + 1e-2
        return symbols[*coder.inside(part.at, 9), part.own]

    board.fill(prior, code)
    assert next(order, None) is None


def test_files_are_as_small_as_the_training_promised(model, symbols):
    alphabets, prior = Alphabets(model.tables.counts), ExactPrior(model.prior, 3)
    known = torch.from_numpy(symbols).permute(2, 0, 1)[None].float()
    promised = bits(known, *model.prior(known, torch.tensor([3]))).sum().item()
    written = 8 * len(coder.encode(symbols, prior, alphabets)[0])
    assert written == pytest.approx(promised, rel=0.02, abs=64)


@pytest.mark.parametrize("size", [(1, 1, 24), (1, 6, 24), (5, 2, 24)])
def test_narrow_tiles_come_back(model, size):
    alphabets, prior = Alphabets(model.tables.counts), ExactPrior(model.prior, 0)
    symbols = np.random.default_rng(1).integers(-3, 4, size).astype(np.int16)
    data, same = coder.encode(symbols, prior, alphabets)
    assert np.array_equal(same, symbols)
    assert np.array_equal(coder.decode(data, size, prior, alphabets), symbols)


def test_symbols_are_chosen_by_what_they_cost(model):
    alphabets, prior = Alphabets(model.tables.counts), ExactPrior(model.prior, 3)
    wanted = np.random.default_rng(2).normal(0, 0.6, (12, 9, 24)).astype(np.float32)
    plain, nearest = coder.encode(wanted, prior, alphabets)
    assert np.array_equal(nearest, np.rint(wanted))
    sizes = []
    for price in (0.0, 0.3, 1e9):
        data, chosen = coder.encode(wanted, prior, alphabets, np.full(24, price))
        assert np.array_equal(coder.decode(data, wanted.shape, prior, alphabets), chosen)
        assert np.abs(chosen - nearest).max() <= 1
        sizes.append(len(data))
    assert sizes[0] < sizes[1] < sizes[2] == len(plain)


def test_every_weight_and_activation_is_a_whole_number_that_adds_up_exactly(model):
    for level in (0, LEVELS - 1):
        part = ExactPart.of(model.prior.odd[2], level)
        for tensor in (*part.layers, *part.biases):
            assert torch.equal(tensor, tensor.round())
    # the order of the sums does not matter
    known = torch.randint(-255, 256, (5, 6, part.first.shape[0] // 9)).double()
    at = torch.tensor([8, 9, 14, 15])
    shuffled = torch.randperm(len(part.second))
    turned = ExactPart(
        part.first[:, shuffled],
        part.second[shuffled][:, shuffled],
        part.last[shuffled],
        (part.biases[0][shuffled], part.biases[1][shuffled], part.biases[2]),
    )
    for a, b in zip(part(known, at), turned(known, at), strict=True):
        assert np.array_equal(a, b)


def test_weights_that_do_not_add_up_exactly_are_refused():
    for value in (1e9, math.nan):
        model = small_model()
        with torch.no_grad():
            model.prior.odd[0].second.weight[0, 0] = value
        with pytest.raises(WeightsError, match="too large for exact arithmetic"):
            ExactPrior(model.prior, 0)


def test_tables_add_up_and_follow_the_logistic_distribution():
    counts = logistic().numpy()
    for scale, shift, place in shape():
        table = counts[place]
        assert table.min() >= 1
        assert table.sum() == TOTAL
        if scale == 20:
            size, mean = SMALLEST * math.exp(20 * STEP), (shift - 4) / 8
            edges = 1 / (1 + np.exp(-((np.array([-0.5, 0.5]) - mean) / size)))
            assert table[radius(20)] / TOTAL == pytest.approx(np.diff(edges)[0], abs=2e-3)


def test_no_radius_depends_on_how_a_machine_rounds():
    for scale in range(SCALES):
        exact = 8 * SMALLEST * math.exp(scale * STEP)
        assert abs(exact - round(exact)) > 1e-6


def test_damaged_tables_are_refused():
    counts = logistic()
    counts[5] += 1
    with pytest.raises(WeightsError, match="counts must add up to 65536"):
        Alphabets(counts)


def test_counts_of_anything_add_up():
    for probabilities in ([1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [1e-9] * 300):
        counts = whole(np.array(probabilities))
        assert counts.sum() == TOTAL
        assert counts.min() >= 1
