"""A training goes on where it was: after failures, in other sizes, with any optimizer."""

import re

import pytest
import torch

from gentool import TrainingError, weights
from gentool.cli.main import invoke
from gentool.training import Update, runs

from . import tiny
from .tiny import Listening, checkpoints, curve


class Failing(tiny.TinyTrainer):
    """Its validation runs out of something at every time."""

    def validate(self):
        raise RuntimeError("not enough of it")


def test_a_failing_validation_loses_no_step_and_is_made_up_for(tmp_path):
    with pytest.raises(RuntimeError, match="not enough"):
        tiny.train(tmp_path, Failing(), steps=8, checkpoint_every=8)
    assert checkpoints(tmp_path) == [8]
    assert not (tmp_path / weights.FILE).exists()
    trainer, done = tiny.train(tmp_path, steps=8, checkpoint_every=8, resume=True)
    assert done
    assert trainer.seen == []
    assert (tmp_path / weights.FILE).exists()


class Slower(torch.optim.SGD):
    """Takes ever shorter steps and counts them where Prodigy and others do, in its groups."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["taken"] = group.get("taken", 0) + 1
            rate, group["lr"] = group["lr"], group["lr"] / group["taken"]
            super().step(closure)
            group["lr"] = rate


class Counting(tiny.TinyTrainer):
    def __init__(self, poison=None):
        super().__init__(poison=poison)
        optimizer = Slower(self.model.parameters(), lr=0.1)
        self.updates = (Update(self.model.networks, optimizer, self.loss),)


def test_what_an_optimizer_keeps_in_its_groups_is_resumed(tmp_path):
    tiny.train(tmp_path / "whole", Counting(), steps=12)
    with pytest.raises(TrainingError):
        tiny.train(tmp_path / "parts", Counting(poison=7), steps=12)
    tiny.train(tmp_path / "parts", Counting(), steps=12, resume=True)
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")


def test_an_optimizer_of_what_no_network_has_is_refused(tmp_path):
    trainer = tiny.TinyTrainer()
    trainer.updates[0].optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(3))]})
    with pytest.raises(TrainingError, match="changes parameters of no network"):
        tiny.train(tmp_path, trainer, steps=1)


def test_gradients_of_what_no_optimizer_changes_count_nowhere(tmp_path):
    curves = []
    for alone in (False, True):
        trainer = tiny.TinyTrainer()
        line = trainer.model.line
        optimizer = torch.optim.SGD([line.bias], lr=0.01)
        trainer.updates = (Update(trainer.model.networks, optimizer, trainer.loss),)
        line.weight.requires_grad_(not alone)
        tiny.train(tmp_path / str(alone), trainer, steps=6, clip=0.1)
        curves.append(curve(tmp_path / str(alone)))
    assert curves[0] == curves[1]


def test_passes_go_on_in_batches_of_another_size(tmp_path):
    heard = Listening()
    tiny.train(tmp_path, tiny.TinyTrainer(poison=6), steps=5, batch_size=10)
    trainer, done = tiny.train(
        tmp_path, display=heard, epochs=4, batch_size=50, resume=True, allow_changes=True
    )
    assert done
    assert [record.epoch for record in heard.records] == [1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert len(trainer.samples) == 350
    assert len(set(trainer.samples[50:150])) == 100  # a whole pass


def test_the_last_step_is_recorded_once_however_often_a_training_is_resumed(tmp_path):
    plan = {"log_every": 5, "checkpoint_every": 7}
    tiny.train(tmp_path, steps=7, **plan)
    for _ in range(2):
        tiny.train(tmp_path, steps=7, resume=True, **plan)
    assert [step for step, _ in curve(tmp_path)] == [5, 7]


def test_previews_of_steps_that_are_done_again_are_removed(tmp_path):
    with pytest.raises(TrainingError):
        tiny.train(tmp_path, tiny.TinyTrainer(poison=8), steps=20, preview_every=2)
    assert [*runs.previews(tmp_path)] == [2, 4, 6, 8]
    tiny.train(tmp_path, steps=6, preview_every=2, resume=True, allow_changes=True)
    assert [*runs.previews(tmp_path)] == [2, 4, 6]


def test_other_pictures_are_told_in_words(tmp_path):
    class Named(list):
        def fingerprint(self):
            return f"{len(self)} {'0' if len(self) > 90 else '1'}a2b"

    def trainer(count):
        made = tiny.TinyTrainer()
        made.datasets = (Named(made.datasets[0][:count]),)
        return made

    tiny.train(tmp_path, trainer(100), steps=5)
    with pytest.raises(TrainingError, match="data were 100 and are now 99; give the same ones"):
        tiny.train(tmp_path, trainer(99), steps=6, resume=True)


def test_a_folder_that_the_system_refuses_is_one_line(tmp_path, capsys):
    words = ["train", "vae", "--data", str(tmp_path), "--steps", "1", "-o", "x" * 300]
    assert invoke(words) == 2
    err = capsys.readouterr().err
    assert re.fullmatch(r"gentool: error: -o x+: File name too long\n", err)


@pytest.mark.parametrize(("scores", "named"), [([2.0, 3.0], True), ([3.0, 2.0], False)])
def test_the_best_is_named_where_it_is_not_the_last(tmp_path, scores, named):
    heard = Listening()
    tiny.train(tmp_path, tiny.TinyTrainer(scores=scores), steps=10, display=heard)
    said = f"best by validation: after step 5, in {tmp_path / weights.BEST}"
    assert (said in heard.notes) == named
