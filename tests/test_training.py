"""The loop: what a training writes, shows, averages and ends with."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from gentool import TrainingError, weights
from gentool.compute import choose
from gentool.training import Moment, Plan, Setup, train
from gentool.training.profile import Profile
from gentool.training.stepper import Stepper

from . import tiny
from .tiny import Listening, checkpoints, curve


def test_learns_and_writes_weights_that_load(tmp_path):
    _, done = tiny.train(tmp_path / "run", steps=200, ema=0.9)
    assert done
    losses = [terms["loss"] for _, terms in curve(tmp_path / "run")]
    assert losses[-1] < losses[0] / 20
    model = weights.load(tiny.TinyModel, tmp_path / "run/weights.safetensors", "tiny")
    assert model.line.weight.item() == pytest.approx(3, abs=0.3)
    header = weights.read_header(tmp_path / "run/weights.safetensors")
    recipe = json.loads(header.metadata["recipe"])
    assert recipe["rate"] == 0.1
    assert recipe["steps"] == 200
    assert recipe["batch_size"] == 16


def test_previews_are_pictures(tmp_path):
    tiny.train(tmp_path, steps=4, preview_every=2)
    files = sorted((tmp_path / "previews").iterdir())
    assert [file.name for file in files] == ["0000002.png", "0000004.png"]
    with Image.open(files[0]) as preview:
        assert preview.size == (8, 8)


def test_epochs_and_minutes_end_a_training(tmp_path):
    trainer, done = tiny.train(tmp_path / "epochs", epochs=2.0)
    assert done
    assert len(trainer.seen) == 12  # 100 samples make six batches of 16; four are left over
    first, second = trainer.samples[:96], trainer.samples[96:]
    assert len(set(first)) == len(set(second)) == 96
    assert first != second
    begun = time.monotonic()
    _, done = tiny.train(tmp_path / "minutes", tiny.TinyTrainer(pause=0.01), minutes=0.01)
    assert done
    assert 0.5 < time.monotonic() - begun < 20
    with pytest.raises(TrainingError, match="--steps, --epochs or --minutes"):
        tiny.train(tmp_path / "none")


def test_a_set_smaller_than_a_step_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TrainingError, match=r"100 pictures, fewer than one batch of 128; take"):
        tiny.train(tmp_path / "run", steps=5, batch_size=128)
    with pytest.raises(TrainingError, match=r"fewer than one step of 128 .*--batch-size 25"):
        tiny.train(tmp_path / "run", steps=5, batch_size=32, accumulate=4)
    assert not (tmp_path / "run").exists()


def test_the_last_steps_are_logged_and_a_finished_run_is_left_alone(tmp_path):
    trainer = tiny.TinyTrainer(scores=[3.0, 2.0])
    tiny.train(tmp_path, trainer, steps=7, log_every=5)
    assert [step for step, _ in curve(tmp_path)] == [5, 7]
    before = (tmp_path / "metrics.jsonl").read_text()
    again, done = tiny.train(tmp_path, tiny.TinyTrainer(scores=[9.0]), steps=7, resume=True)
    assert done
    assert again.seen == []
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_a_score_that_is_no_number_is_never_the_best(tmp_path):
    scores = [float("nan"), 3.0, 4.0]
    tiny.train(tmp_path, tiny.TinyTrainer(scores=scores), steps=15, keep=1)
    assert checkpoints(tmp_path) == [10, 15]


def test_the_average_is_what_is_saved_and_the_networks_go_on_unaveraged(tmp_path):
    trainer, _ = tiny.train(tmp_path, steps=30, ema=0.99)
    saved = weights.load(tiny.TinyModel, tmp_path / "weights.safetensors", "tiny")
    assert saved.line.weight.item() != trainer.model.line.weight.item()
    state = weights.read_tensors(tmp_path / "checkpoints/0000030.safetensors")
    assert torch.equal(state["average.line.weight"], saved.line.weight)
    assert torch.equal(state["net.line.weight"], trainer.model.line.weight)
    trainer, _ = tiny.train(tmp_path / "none", steps=3, ema=0.0)
    saved = weights.load(tiny.TinyModel, tmp_path / "none/weights.safetensors", "tiny")
    assert torch.equal(saved.line.weight, trainer.model.line.weight)


def test_what_calibrate_mends_is_saved_and_the_training_goes_on_without_it(tmp_path):
    class Calibrating(tiny.TinyTrainer):
        def calibrate(self):
            self.model.line.bias.fill_(7)

        def validate(self):
            return {"bias": self.model.line.bias.item()}

    plain, _ = tiny.train(tmp_path / "plain", steps=10)
    trainer, _ = tiny.train(tmp_path / "run", Calibrating(), steps=10)
    assert torch.equal(trainer.model.line.bias, plain.model.line.bias)
    for name in ("weights", "best"):
        saved = weights.load(tiny.TinyModel, tmp_path / f"run/{name}.safetensors", "tiny")
        assert saved.line.bias.item() == 7
    state = weights.read_tensors(tmp_path / "run/checkpoints/0000010.safetensors")
    assert torch.equal(state["net.line.bias"], plain.model.line.bias)
    assert state["average.line.bias"].item() != 7


def test_records_tell_speed_memory_and_progress(tmp_path):
    display = Listening()
    tiny.train(tmp_path, display=display, steps=6, log_every=3)
    assert [r.step for r in display.records] == [3, 6]
    last = display.records[-1]
    assert last.epoch == 1.0
    assert last.per_second > 0
    assert last.memory > 2**20
    assert set(last.terms) == {"loss", "error", "gradient"}


def test_profile_counts_operations_and_compares_with_a_matrix_product(tmp_path):
    display = Listening()
    tiny.train(tmp_path, display=display, steps=10, profile=True)
    assert "GFLOP" in display.notes[-1]
    assert "that a fp32 matrix product reaches" in display.notes[-1]


def test_profile_counts_each_update_as_often_as_it_is_due():
    trainer, flops = tiny.TinyTrainer(), []
    (often,) = trainer.updates
    for updates in ([often], [replace(often, name="a"), replace(often, every=3, name="b")]):
        setup = Setup(Plan(), choose("cpu", "fp32"))
        profile = Profile(setup, updates)
        step = profile.watch(Stepper(updates, setup))
        for number in range(6):
            step(Moment(number, 0.0), [[torch.rand(10, 1)]])
        flops.append(profile.flops)
    assert flops[1] == 4 * flops[0] > 0
    assert "too few steps to time; 8 are needed" in profile.summary()


def test_memory_that_runs_out_is_one_line(tmp_path):
    class Greedy(tiny.TinyTrainer):
        def loss(self, moment, x):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 TiB")

    for build in (lambda *_: Greedy(), lambda *_: Greedy().loss(0, 0)):
        with pytest.raises(TrainingError, match="does not fit into memory; take a smaller --batch"):
            train("tiny", build, None, Plan(steps=2, batch_size=4), tmp_path / "run", device="cpu")


def test_tensorboard_files_hold_the_scalars(tmp_path):
    pytest.importorskip("tensorboard")
    tiny.train(tmp_path, steps=3, tensorboard=True)
    files = list((tmp_path / "tensorboard").iterdir())
    assert len(files) == 1
    assert b"gradient" in files[0].read_bytes()


def test_the_trainer_in_the_documentation_is_short_and_learns(tmp_path, pictures):
    text = (Path(__file__).parents[1] / "docs/training.md").read_text(encoding="utf-8")
    code = text.partition('```python\n"""my_trainer.py')[2].partition("```")[0]
    assert code.count("\n") < 60
    (tmp_path / "my_trainer.py").write_text('"""my_trainer.py' + code)
    for i in range(8):
        with Image.open(pictures / f"{'content' if i % 2 else 'style'}.png") as image:
            image.rotate(45 * i).save(pictures / f"{i}.png")
    command = [sys.executable, "my_trainer.py", str(pictures), "run"]
    subprocess.run(command, cwd=tmp_path, check=True)
    psnr = [terms["psnr"] for _, terms in curve(tmp_path / "run")]
    assert psnr[-1] > psnr[0] + 2
    assert (tmp_path / "run/previews/0000060.png").exists()
