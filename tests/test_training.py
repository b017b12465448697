"""The loop: resumes bit for bit, loses nothing, stops with one clear line."""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from gentool import OutputError, TrainingError, weights
from gentool.training import Pictures, Plan, fit, prefetch, random_crop
from gentool.training.data import held_out

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("tiny", HERE / "tiny.py")
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

HYPER = {"rate": 0.1}


def train(run, steps, resume=False, trainer=None, hyper=HYPER, **plan):
    trainer = trainer or tiny.TinyTrainer()
    plan = Plan(steps, **({"checkpoint_every": 5, "log_every": 1, "preview_every": 0} | plan))
    lines = []
    done = fit(trainer, run, plan, "tiny", hyper, resume, lines.append)
    return trainer, done, lines


def curve(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [(d["step"], d["loss"]) for d in map(json.loads, lines)]


def test_learns_and_writes_weights_that_load(tmp_path):
    _, done, _ = train(tmp_path / "run", 200, average=0.9)
    assert done
    losses = [loss for _, loss in curve(tmp_path / "run")]
    assert losses[-1] < losses[0] / 20
    model = weights.load(tiny.TinyModel, tmp_path / "run/weights.safetensors", "tiny")
    assert model.line.weight.item() == pytest.approx(3, abs=0.3)
    header = weights.read_header(tmp_path / "run/weights.safetensors")
    assert json.loads(header.metadata["recipe"]) == {"rate": 0.1, "steps": 200}


def test_a_resumed_curve_equals_the_uninterrupted_one_bit_for_bit(tmp_path):
    train(tmp_path / "whole", 12)
    train(tmp_path / "parts", 7)
    assert (tmp_path / "parts/checkpoint.safetensors").exists()
    trainer, done, _ = train(tmp_path / "parts", 12, resume=True)
    assert done
    assert trainer.seen == [7, 8, 9, 10, 11]
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    for name in ("checkpoint", "weights"):
        a = weights.read_tensors(tmp_path / f"whole/{name}.safetensors")
        b = weights.read_tensors(tmp_path / f"parts/{name}.safetensors")
        assert all(torch.equal(a[n], b[n]) for n in a), name


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from tiny import TinyTrainer
from gentool.training import Plan, fit

class Slow(TinyTrainer):
    def step(self, batch, progress):
        time.sleep(0.01)
        return super().step(batch, progress)

plan = Plan(60, checkpoint_every=5, log_every=1, preview_every=0)
fit(Slow(), Path({run!r}), plan, "tiny", {{"rate": 0.1}}, report=lambda text: None)
"""


def start_and_signal(run, number, after):
    code = textwrap.dedent(KILLED).format(tests=str(HERE), run=str(run))
    process = subprocess.Popen([sys.executable, "-c", code])
    log = run / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < after:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(number)
    return process.wait(timeout=60)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("after", [6, 13])
def test_killed_at_any_moment_it_goes_on_from_the_last_checkpoint(tmp_path, after):
    train(tmp_path / "whole", 60)
    assert start_and_signal(tmp_path / "run", signal.SIGKILL, after) == -signal.SIGKILL
    train(tmp_path / "run", 60, resume=True)
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C otherwise")
def test_ctrl_c_finishes_the_step_and_saves(tmp_path):
    assert start_and_signal(tmp_path / "run", signal.SIGINT, 7) == 0
    done = int(weights.read_header(tmp_path / "run/checkpoint.safetensors").metadata["step"])
    assert 7 <= done < 60
    assert len(curve(tmp_path / "run")) == done


def test_nan_stops_and_keeps_the_last_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match=r"step 8: loss is nan.*lower learning rate"):
        train(tmp_path, 20, trainer=tiny.TinyTrainer(poison=7))
    assert weights.read_header(tmp_path / "checkpoint.safetensors").metadata["step"] == "5"


def test_refuses_to_resume_what_is_not_there_changed_or_damaged(tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint to resume from"):
        train(tmp_path, 5, resume=True)
    train(tmp_path, 5)
    with pytest.raises(TrainingError, match=r"rate was 0.1 and is now 0.2"):
        train(tmp_path, 9, resume=True, hyper={"rate": 0.2})
    with pytest.raises(TrainingError, match="holds a training already; add --resume"):
        train(tmp_path, 9)
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(TrainingError, match="damaged, cannot resume"):
        train(tmp_path, 9, resume=True)


def test_a_full_disk_leaves_the_last_checkpoint_intact(tmp_path, monkeypatch):
    train(tmp_path, 5)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        train(tmp_path, 20, resume=True)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {
        "checkpoint.safetensors",
        "metrics.jsonl",
        "weights.safetensors",
    }


def test_previews_are_pictures(tmp_path):
    train(tmp_path, 4, preview_every=2)
    files = sorted((tmp_path / "previews").iterdir())
    assert [file.name for file in files] == ["0000002.png", "0000004.png"]
    with Image.open(files[0]) as preview:
        assert preview.size == (8, 8)


@pytest.fixture
def folder(tmp_path):
    """Forty pictures in two folders, one of them damaged."""
    for i in range(40):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (i * 6, 0, 0)).save(path)
    path.write_bytes(path.read_bytes()[:40])
    return tmp_path / "data"


def test_pictures_come_from_folders_and_archives_alike(folder, tmp_path):
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.add(folder, ".")
    in_folder, in_archive = Pictures([folder]), Pictures([tmp_path / "data.tar"])
    strip = [name.removeprefix("./") for name in in_archive.names]
    assert set(in_folder.names) <= {f"{c}/{i}.png" for c in "ab" for i in range(40)}
    assert len(strip) > 30
    assert in_archive.open(0).size == (40, 30)


def test_one_picture_in_sixteen_is_kept_for_validation(folder):
    training, validation = Pictures([folder]), Pictures([folder], validation=True)
    assert len(training) + len(validation) == 40
    assert not set(training.names) & set(validation.names)
    assert all(map(held_out, validation.names))


def test_damaged_pictures_are_left_out_and_noted(folder):
    pictures = Pictures([folder])
    rng = random.Random(0)
    for _ in range(300):
        assert pictures.draw(rng).size == (40, 30)
    assert set(pictures.bad) <= {"b/39.png"}


def test_data_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="no pictures in"):
        Pictures([tmp_path / "empty"])
    with pytest.raises(TrainingError, match="not a folder or tar archive"):
        Pictures([tmp_path / "nothing.tar"])
    (tmp_path / "empty/0.png").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="none of the 1 pictures can be read"):
        Pictures([tmp_path / "empty"]).draw(random.Random(0))


def test_random_crops_have_the_size_and_follow_the_seed():
    picture = Image.effect_noise((90, 60), 50).convert("RGB")
    one = random_crop(picture, 32, (50, 200), random.Random(1))
    assert one.shape == (3, 32, 32)
    assert one.dtype == torch.uint8
    assert torch.equal(one, random_crop(picture, 32, (50, 200), random.Random(1)))
    assert not torch.equal(one, random_crop(picture, 32, (50, 200), random.Random(2)))


def test_prefetched_batches_come_in_order_and_pass_errors_on():
    def make(step):
        if step == 9:
            raise TrainingError("no more")
        return step

    batches = prefetch(make, 5)
    assert [next(batches) for _ in range(4)] == [5, 6, 7, 8]
    with pytest.raises(TrainingError, match="no more"):
        next(batches)
