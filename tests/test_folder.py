"""A training's folder: whose it is, what is kept in it, and what is never written over."""

import contextlib
import json
import os
import shutil
import threading
import time

import pytest
import torch

from gentool import OutputError, TrainingError, weights
from gentool.artifacts import Animation
from gentool.compute import Compute
from gentool.training import Plan, Setup, checkpoint, fit, folder, runs, train

from . import tiny
from .tiny import Listening, checkpoints, curve


def test_weights_are_not_written_over_though_their_checkpoints_are_gone(tmp_path):
    tiny.train(tmp_path, steps=5)
    shutil.rmtree(tmp_path / "checkpoints")
    kept = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(TrainingError, match=r"holds weights\.safetensors, but no checkpoint"):
        tiny.train(tmp_path, steps=5)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == kept


def test_a_new_training_shows_nothing_of_one_that_came_to_no_checkpoint(tmp_path):
    (tmp_path / "previews").mkdir()
    for name in ("0000005.png", "0000005-1.png", "mine.png"):
        (tmp_path / "previews" / name).write_bytes(b"old")
    plan = Plan(steps=2, batch_size=16, preview_every=0)
    (tmp_path / "metrics.jsonl").write_text("")
    setup = Setup(plan, Compute(torch.device("cpu"), torch.float32))
    fit(tiny.TinyTrainer(), setup, tmp_path, "tiny")
    assert [p.name for p in (tmp_path / "previews").iterdir()] == ["mine.png"]


def test_what_came_to_no_checkpoint_is_begun_again_and_its_log_is_kept(tmp_path):
    class Moving(tiny.TinyTrainer):
        def preview(self):
            return [Animation([torch.rand(3, 8, 8)] * 2, fps=4)]

    with pytest.raises(TrainingError, match=r"loss is nan; start anew .*\(or --clip 1\)"):
        tiny.train(tmp_path, Moving(poison=3), steps=20, preview_every=1)
    lost = curve(tmp_path)
    assert len(lost) == 3
    assert (tmp_path / "previews/0000003.webp").exists()
    display = Listening()
    tiny.train(tmp_path, display=display, steps=2, preview_every=2)
    assert [note for note in display.notes if "metrics-before.jsonl" in note]
    assert [step for step, _ in curve(tmp_path)] == [1, 2]
    assert [p.name for p in (tmp_path / "previews").iterdir()] == ["0000002.png"]
    before = (tmp_path / "metrics-before.jsonl").read_text().splitlines()
    assert [json.loads(line)["terms"] for line in before] == [terms for _, terms in lost]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", '{"step": 1, "loss": 0.5}\n'),
        ("metrics.jsonl", "[1, 2]\n"),
        ("metrics.jsonl", "3\n"),
        ("metrics.jsonl", "step 1\n"),
        ("run.json", '{"program": "another"}'),
    ],
)
def test_the_files_of_another_program_are_not_written_over(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(TrainingError, match=f"holds a {name} that no training of gentool wrote"):
        tiny.train(tmp_path, steps=2)
    plan = Plan(steps=2, batch_size=4)
    with pytest.raises(TrainingError, match="choose another folder, or remove it"):
        train("tiny", lambda *_: pytest.fail("built"), None, plan, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content


def test_the_history_tells_of_the_begin_that_came_to_nothing(tmp_path):
    plan = Plan(steps=4, batch_size=4, log_every=1)
    with pytest.raises(TrainingError, match="loss is nan"):
        train("tiny", lambda *_: tiny.TinyTrainer(poison=2), None, plan, tmp_path, device="cpu")
    again = plan.model_copy(update={"resume": True})
    with pytest.raises(TrainingError, match="the same command without --resume begins"):
        train("tiny", tiny.TinyTrainer, None, again, tmp_path, device="cpu")
    assert train("tiny", tiny.TinyTrainer, None, plan, tmp_path, device="cpu")
    assert len(runs.sessions(tmp_path)) == 2


def test_two_trainings_do_not_write_into_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "PATIENCE", 0.2)
    process = tiny.start(tmp_path, pause=0.5)  # it lasts however slow this process is
    try:
        deadline = time.monotonic() + 60
        while not checkpoint.exists(tmp_path):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(TrainingError, match="another training is writing there"):
            tiny.train(tmp_path, steps=60, resume=True)
    finally:
        process.kill()
        process.wait()
    assert tiny.train(tmp_path, steps=60, resume=True)[1]


def test_a_new_training_that_had_to_wait_leaves_what_the_other_one_made(tmp_path):
    tiny.train(tmp_path / "other", steps=5)
    run = tmp_path / "run"
    run.mkdir()

    def end(held):
        (tmp_path / "other/checkpoints").rename(run / "checkpoints")
        held.close()

    held = contextlib.ExitStack()
    folder.Folder(run, False, held)
    timer = threading.Timer(0.5, end, [held])  # when the new one has looked and waits
    timer.start()
    with pytest.raises(TrainingError, match="holds a training already"):
        tiny.train(run, steps=5)
    timer.join()
    assert checkpoints(run) == [5]


def test_a_full_disk_leaves_the_last_checkpoint_intact(tmp_path, monkeypatch):
    tiny.train(tmp_path, steps=5)
    file = tmp_path / "checkpoints/0000005.safetensors"
    before = file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left on device"):
            tiny.train(tmp_path, steps=20, resume=True, allow_changes=True)
    assert file.read_bytes() == before
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} == {file.name}
    tiny.train(tmp_path, steps=20, resume=True, allow_changes=True)
    assert len(curve(tmp_path)) == 20


def test_keeps_the_last_checkpoints_and_the_best(tmp_path):
    trainer = tiny.TinyTrainer(scores=[3.0, 1.0, 2.0, 4.0, 5.0])
    tiny.train(tmp_path, trainer, steps=25, keep=2)
    assert checkpoints(tmp_path) == [10, 20, 25]
    recipe = weights.read_header(tmp_path / "best.safetensors").metadata["recipe"]
    assert json.loads(recipe)["steps"] == 10
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    scores = [d["validation"]["score"] for d in lines if "validation" in d]
    assert scores == [3.0, 1.0, 2.0, 4.0, 5.0]


def test_a_checkpoint_that_cannot_be_removed_ends_no_training(tmp_path):
    tiny.train(tmp_path, steps=5)
    stuck = tmp_path / "checkpoints/0000003.safetensors"
    stuck.mkdir()  # which unlink() refuses
    _, done = tiny.train(tmp_path, steps=15, keep=1, resume=True, allow_changes=True)
    assert done
    assert checkpoints(tmp_path) == [3, 15]


def test_a_log_that_cannot_be_cut_stays_whole(tmp_path, monkeypatch):
    tiny.train(tmp_path, steps=10)
    (tmp_path / "checkpoints/0000010.safetensors").unlink()
    before = (tmp_path / "metrics.jsonl").read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        tiny.train(tmp_path, steps=10, resume=True)
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_foreign_files_beside_checkpoints_stay(tmp_path):
    (tmp_path / "checkpoints/.ipynb_checkpoints").mkdir(parents=True)
    tiny.train(tmp_path, steps=5)
    assert (tmp_path / "checkpoints/.ipynb_checkpoints").is_dir()
    tiny.train(tmp_path, steps=5, resume=True)
