"""Warnings, and the figures they rest on."""

import pytest
import torch
from torch import nn

from gentool.compute import choose
from gentool.feature_sets import frechet
from gentool.training import Moment, Plan, Setup, Update
from gentool.training.stepper import Stepper
from gentool_gan.health import EVERY, PATIENCE, Health, relative_spread, spread
from gentool_gan.metrics import Judge


class Player:
    """The engine's steps of two networks whose gradients and figures are given."""

    def __init__(self, accumulate=1):
        self.notes, self.step, self.batches = [], 0, [[]] * accumulate
        self.slopes = {"discriminator": 1.0, "generator": 1.0}
        setup = Setup(Plan(), choose("cpu", "fp32"), note=self.notes.append)
        updates = [self.update(name) for name in self.slopes]
        self.health, self.stepper = Health(setup, updates), Stepper(updates, setup)

    def update(self, name):
        net = nn.Linear(1, 1, bias=False)

        def loss(moment):
            if name == "discriminator":
                self.health.watch(moment, self.terms)
            return net.weight.sum() * self.slopes[name], {}

        return Update({name: net}, torch.optim.SGD(net.parameters(), 0.0), loss, name=name)

    def play(self, looks, real=0.7, fake=0.7, spread=0.9):
        terms = {"real": real, "fake": fake, "spread": spread}
        self.terms = {name: torch.tensor(value) for name, value in terms.items()}
        for _ in range(looks * EVERY):
            self.stepper(Moment(self.step, 0.0), self.batches)
            self.step += 1
        return self.notes


def test_a_healthy_training_is_told_nothing():
    assert Player().play(3 * PATIENCE) == []


def test_a_discriminator_that_has_won_is_told_once():
    player = Player()
    assert player.play(PATIENCE - 1, real=1.0, fake=0.999) == []
    (note,) = player.play(2 * PATIENCE, real=1.0, fake=0.999)
    assert "warning" in note
    assert "tells 99.9% of all pictures right" in note


def test_collapse_is_told_again_after_it_was_well():
    player = Player()
    (note,) = player.play(PATIENCE + 2, spread=0.1)
    assert "mode collapse" in note
    assert "only 10% of what real ones do" in note
    player.play(10)
    assert len(player.play(PATIENCE + 10, spread=0.1)) == 2


def test_accumulated_batches_are_one_look():
    player = Player(accumulate=PATIENCE)
    assert player.play(PATIENCE - 1, real=1.0, fake=1.0) == []
    assert len(player.play(1, real=1.0, fake=1.0)) == 1


@pytest.mark.parametrize("name", ["discriminator", "generator"])
def test_an_exploding_gradient_is_told_at_the_first_look(name):
    player = Player()
    assert player.play(3) == []
    player.slopes[name] = 1000.0
    (note,) = player.play(1)
    assert f"step {4 * EVERY}: the {name}'s gradient is 1e+03, usually 1" in note


def test_recall_that_falls_is_told():
    player = Player()
    for recall in (0.3, 0.4, 0.35):
        player.health.check_recall(recall)
    assert player.notes == []
    player.health.check_recall(0.05)
    assert "recall has fallen to 5.0% from 40.0%" in player.notes[0]


def test_what_it_knows_survives_a_checkpoint():
    one, other = Player(), Player()
    one.play(2, real=0.9, spread=0.5)
    one.health.check_recall(0.5)
    other.health.load_state(one.health.state())
    for name, value in one.health.state().items():
        assert torch.equal(other.health.state()[name], value), name
    other.health.check_recall(0.01)
    assert len(other.notes) == 1


def test_spread_sees_collapse_and_not_noise():
    pictures = torch.rand(64, 3, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    same = pictures[:1].expand(64, -1, -1, -1) + 0.1 * torch.randn(64, 3, 32, 32)
    assert spread(pictures) == pytest.approx(12**-0.5, rel=0.05)
    assert spread(same) < 0.15 * spread(pictures)
    assert spread(pictures[:1]) == 1
    assert relative_spread(same, pictures) < 0.15
    assert relative_spread(pictures, pictures[:1].expand(64, -1, -1, -1)) == 10  # not infinite


def test_the_judge_is_the_same_everywhere_and_sees_blur():
    judge, again = Judge(torch.device("cpu")), Judge(torch.device("cpu"))
    pictures = torch.rand(60, 3, 32, 32)
    features = judge.embed(pictures)
    assert torch.equal(features, again.embed(pictures))
    blurred = nn.functional.avg_pool2d(pictures, 3, 1, 1)
    figures = judge.compare(features, judge.embed(blurred))
    assert set(figures) == {"distance", "precision", "recall", "duplicates"}
    assert figures["distance"] > 3 * frechet(features[:30], features[30:]) > 0
    assert figures["precision"] < 0.1
