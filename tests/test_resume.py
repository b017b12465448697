"""Nothing is lost: kills, full disks and damage, and a resumed training is the same bit for bit."""

import json
import textwrap
import time

import pytest
import torch
from PIL import Image

from gentool import TrainingError, weights
from gentool.compute import Compute
from gentool.training import Pictures, Plan, Setup, fit, state, train
from gentool.training.average import Average

from . import tiny
from .tiny import Listening, checkpoints, curve


@pytest.mark.parametrize("log_every", [1, 3])
def test_a_resumed_curve_equals_the_uninterrupted_one_bit_for_bit(tmp_path, log_every):
    tiny.train(tmp_path / "whole", steps=12, log_every=log_every)
    kill_at_seven = tiny.TinyTrainer(poison=7)  # stops without a last checkpoint, as a kill does
    with pytest.raises(TrainingError):
        tiny.train(tmp_path / "parts", kill_at_seven, steps=12, log_every=log_every)
    assert checkpoints(tmp_path / "parts") == [5]
    trainer, done = tiny.train(tmp_path / "parts", steps=12, log_every=log_every, resume=True)
    assert done
    assert trainer.seen == [5, 6, 7, 8, 9, 10, 11]
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    for name in ("checkpoints/0000012", "weights"):
        a = weights.read_tensors(tmp_path / f"whole/{name}.safetensors")
        b = weights.read_tensors(tmp_path / f"parts/{name}.safetensors")
        assert all(torch.equal(a[n], b[n]) for n in a if n != "own.seen"), name


def test_the_time_left_follows_the_pace_since_the_resume(tmp_path):
    tiny.train(tmp_path, tiny.TinyTrainer(pause=0.2), steps=10)  # a slow machine
    heard = Listening()
    tiny.train(tmp_path, display=heard, steps=60, resume=True, allow_changes=True)
    assert len(heard.lefts) == 50
    assert heard.lefts[-1] == 0
    for done in range(10, 49):
        pace = (heard.times[done] - heard.times[0]) / done
        assert heard.lefts[done] < 2 * pace * (49 - done) + 0.5  # at the old pace ten times that


def test_a_checkpoint_that_cannot_be_read_now_is_not_taken_for_damaged(tmp_path):
    tiny.train(tmp_path, steps=10)
    newest = tmp_path / "checkpoints/0000010.safetensors"
    kept = newest.read_bytes()
    newest.unlink()
    newest.mkdir()  # the system refuses to read it
    with pytest.raises(TrainingError, match=r"0000010.*cannot read"):
        tiny.train(tmp_path, steps=20, resume=True)
    newest.rmdir()
    newest.write_bytes(kept)
    trainer, _ = tiny.train(tmp_path, steps=20, resume=True, allow_changes=True)
    assert trainer.seen[0] == 10


def test_nan_stops_and_keeps_the_last_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match=r"step 8: loss is nan.*lower learning rate"):
        tiny.train(tmp_path, tiny.TinyTrainer(poison=7), steps=20)
    assert checkpoints(tmp_path) == [5]
    state = weights.read_tensors(tmp_path / "checkpoints/0000005.safetensors")
    assert all(tensor.isfinite().all() for tensor in state.values())


class Unwaited(tiny.TinyTrainer):
    """Its batches lie on a device that, as a GPU, is not waited for at every step."""

    def loss(self, moment, x):
        return super().loss(moment, torch.rand(x.shape))


@pytest.mark.parametrize("poison", [5, 7])
def test_nan_in_the_last_steps_on_a_device_is_not_saved(tmp_path, poison):
    plan = Plan(steps=8, batch_size=16, log_every=5, checkpoint_every=0, preview_every=0)
    setup = Setup(plan, Compute(torch.device("meta"), torch.float32))
    with pytest.raises(TrainingError, match="step 8: loss is nan"):
        fit(Unwaited(poison=poison), setup, tmp_path, "tiny")
    assert [step for step, _ in curve(tmp_path)] == [5]
    assert {p.name for p in tmp_path.iterdir()} == {".lock", "metrics.jsonl"}


def test_a_preview_that_fails_loses_nothing_and_does_not_fail_the_resume(tmp_path):
    class Failing(tiny.TinyTrainer):
        def preview(self):
            if self.seen[-1] + 1 == every:
                raise RuntimeError("no such preview")
            return super().preview()

    whole = {"steps": 12, "checkpoint_every": 6}
    tiny.train(tmp_path / "whole", **whole)
    for every in (6, 4):  # where it is saved as well; where it is not
        run = tmp_path / f"{every}"
        with pytest.raises(RuntimeError, match="no such preview"):
            tiny.train(run, Failing(), preview_every=every, **whole)
        assert checkpoints(run) == [every]
        tiny.train(run, Failing(), preview_every=every, resume=True, **whole)
        assert curve(run) == curve(tmp_path / "whole")


def test_what_is_killed_in_a_preview_was_saved_before(tmp_path):
    kills = """
    import os, signal, tiny
    def preview(self):
        os._exit(9)
    tiny.TinyTrainer.preview = preview
    """
    before = f"import sys; sys.path.insert(0, {tiny.HERE!r})\n{textwrap.dedent(kills)}"
    process = tiny.start(tmp_path / "run", before, preview_every=5)
    assert process.wait(timeout=60) == 9
    assert checkpoints(tmp_path / "run") == [5]
    tiny.train(tmp_path / "run", steps=60, resume=True)
    tiny.train(tmp_path / "whole", steps=60)
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")


def test_after_a_loss_that_is_not_finite_a_training_goes_on_as_it_says(tmp_path):
    said = r"loss is nan; .* go on with --resume --allow-changes --clip {} \(or a lower learning"
    with pytest.raises(TrainingError, match=said.format("1")):
        tiny.train(tmp_path, tiny.TinyTrainer(poison=7), steps=9)
    again = {"steps": 9, "resume": True, "allow_changes": True, "clip": 1}
    with pytest.raises(TrainingError, match=said.format(r"0\.1")):
        tiny.train(tmp_path, tiny.TinyTrainer(poison=7), **again)
    assert tiny.train(tmp_path, **again)[1]


def test_checkpoints_of_before_mirroring_was_a_flag_go_on_mirrored(tmp_path):
    tiny.train(tmp_path, steps=5)
    (file,) = (tmp_path / "checkpoints").iterdir()
    told = dict(weights.read_header(file).metadata)
    position, hyper = json.loads(told["position"]), json.loads(told["hyper"])
    position["log"] = position["log"][0]
    assert hyper.pop("mirror") is True
    told |= {"position": json.dumps(position), "hyper": json.dumps(hyper)}
    weights.write_tensors(file, weights.read_tensors(file), told)
    with pytest.raises(TrainingError, match="mirror was True and is now False"):
        tiny.train(tmp_path, steps=5, resume=True, mirror=False)
    learnt = {"rate": 0.1, "learns_from": ["1234"]}  # nobody kept what was learnt from
    assert tiny.train(tmp_path, steps=5, resume=True, hyper=learnt)[1]


def test_another_teacher_of_the_same_name_is_refused(tmp_path):
    teachers = []
    for number in (1, 2):
        path = tmp_path / str(number) / "teacher.safetensors"
        path.parent.mkdir()
        torch.manual_seed(number)
        weights.save(path, tiny.TinyModel(), "tiny")
        teachers.append(path)

    def taught(teacher, **more):
        def build(options, setup):
            trainer = tiny.TinyTrainer()
            trainer.learns_from = [teacher]
            return trainer

        plan = Plan(steps=5, batch_size=4, **more)
        return train("tiny", build, None, plan, tmp_path / "run", device="cpu")

    taught(teachers[0])
    with pytest.raises(TrainingError, match="networks that it learns from are others now; give"):
        taught(teachers[1], resume=True)
    assert taught(teachers[0], resume=True)
    assert taught(teachers[1], resume=True, allow_changes=True)


def test_refuses_to_resume_what_is_not_there_or_changed(tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint to resume from"):
        tiny.train(tmp_path, steps=5, resume=True)
    tiny.train(tmp_path, steps=5)
    with pytest.raises(TrainingError, match=r"rate was 0.1 and is now 0.2.*--allow-changes"):
        tiny.train(tmp_path, steps=5, resume=True, hyper={"rate": 0.2})
    with pytest.raises(TrainingError, match="batch-size was 16 and is now 8"):
        tiny.train(tmp_path, steps=5, resume=True, batch_size=8)
    with pytest.raises(TrainingError, match="holds a training already; add --resume"):
        tiny.train(tmp_path, steps=9)
    display = Listening()
    trainer, _ = tiny.train(tmp_path, display=display, steps=9, resume=True)  # longer is no harm
    assert trainer.seen == [5, 6, 7, 8]
    with pytest.raises(TrainingError, match="steps was 9 and is now 8; give the same"):
        tiny.train(tmp_path, steps=8, resume=True)
    assert any("going on although steps was 5 and is now 9" in note for note in display.notes)


class OfPictures(tiny.TinyTrainer):
    def __init__(self, folder):
        super().__init__()
        self.datasets = (Pictures([folder], flip=False, split="all"),)

    def loss(self, moment, batch):
        return super().loss(moment, batch.pictures.mean((1, 2, 3))[:, None])


def test_a_changed_flag_is_told_before_pictures_are_decoded(tmp_path):
    folder, run = tmp_path / "pictures", tmp_path / "run"
    folder.mkdir()
    for i in range(4):
        Image.new("RGB", (8, 8), (60 * i, 0, 0)).save(folder / f"{i}.png")
    tiny.train(run, OfPictures(folder), steps=2, batch_size=4, cache="ram")
    for path in folder.iterdir():
        path.write_bytes(b"damaged")
    again = {"steps": 2, "resume": True, "cache": "ram"}
    with pytest.raises(TrainingError, match="batch-size was 4 and is now 2"):
        tiny.train(run, OfPictures(folder), batch_size=2, **again)
    with pytest.raises(TrainingError, match="none of 4 pictures can be read"):
        tiny.train(run, OfPictures(folder), batch_size=4, **again)
    with pytest.raises(TrainingError, match="none of 4 pictures can be read"):
        tiny.train(tmp_path / "new", OfPictures(folder), steps=2, batch_size=4, cache="ram")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "overwritten"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, damage):
    tiny.train(tmp_path, steps=10)
    file = tmp_path / "checkpoints/0000010.safetensors"
    content = {"cut": file.read_bytes()[:-20], "empty": b"", "overwritten": b"x" * 500}[damage]
    file.write_bytes(content)
    display = Listening()
    trainer, _ = tiny.train(tmp_path, display=display, steps=10, resume=True)
    assert trainer.seen == [5, 6, 7, 8, 9]
    assert "0000010.safetensors is damaged" in display.notes[0]
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="no sound checkpoint"):
        tiny.train(tmp_path, steps=10, resume=True)


def test_a_damaged_checkpoint_takes_no_place_of_a_sound_one(tmp_path):
    tiny.train(tmp_path, steps=10, keep=2)
    (tmp_path / "checkpoints/0000010.safetensors").write_bytes(b"nothing")
    poisoned = tiny.TinyTrainer(poison=8)  # stops after the checkpoint of step 7
    more = {"keep": 1, "checkpoint_every": 7, "resume": True, "allow_changes": True}
    with pytest.raises(TrainingError, match="loss is nan"):
        tiny.train(tmp_path, poisoned, steps=10, **more)
    assert checkpoints(tmp_path) == [7]


def test_a_validation_does_not_count_as_training_after_a_resume(tmp_path):
    class Slow(tiny.TinyTrainer):
        def validate(self):
            time.sleep(1)
            return {"score": 1.0}

    display = Listening()
    tiny.train(tmp_path, Slow(), steps=5, log_every=10)
    tiny.train(tmp_path, display=display, steps=10, log_every=10, resume=True, allow_changes=True)
    assert display.records[0].seconds < 0.1  # a step; a tenth of the sleep, were it counted


def test_nothing_that_is_resumed_lies_in_the_checkpoints_file(tmp_path):
    """Windows removes no file that is mapped into memory, as what safetensors reads is."""
    tiny.train(tmp_path, steps=5)
    read = weights.read_tensors(tmp_path / "checkpoints/0000005.safetensors")
    trainer = tiny.TinyTrainer()
    state.restore(trainer, Average(trainer.model, 0.9), read)
    mapped = {tensor.data_ptr() for tensor in read.values()}
    slots = [t for s in trainer.updates[0].optimizer.state.values() for t in s.values()]
    assert len(slots) == 6
    assert not mapped & {t.data_ptr() for t in [*slots, *trainer.model.parameters()]}


def test_the_scaler_is_resumed(tmp_path):
    half = Compute(torch.device("cpu"), torch.float16)
    plan = {"batch_size": 16, "steps": 5, "checkpoint_every": 5}
    trainer = tiny.TinyTrainer()
    fit(trainer, Setup(Plan(**plan), half), tmp_path, "tiny")
    header = weights.read_header(tmp_path / "checkpoints/0000005.safetensors")
    scaler = json.loads(header.metadata["position"])["scaler"]
    assert scaler["scale"] > 1
    assert scaler["_growth_tracker"] == 5
    again = Setup(Plan(**plan | {"steps": 7}, resume=True, allow_changes=True), half)
    assert fit(tiny.TinyTrainer(), again, tmp_path, "tiny")
    header = weights.read_header(tmp_path / "checkpoints/0000007.safetensors")
    assert json.loads(header.metadata["position"])["scaler"]["_growth_tracker"] == 7


def test_a_checkpoint_of_other_networks_is_one_line(tmp_path):
    class Wider(tiny.TinyTrainer):
        def load_state(self, state):
            torch.nn.Linear(2, 1).load_state_dict(self.model.line.state_dict())

    class Other(tiny.TinyTrainer):
        def load_state(self, state):
            state["pool"]

    tiny.train(tmp_path, steps=5)
    for trainer, reason in ((Wider(), "size mismatch"), (Other(), "pool")):
        with pytest.raises(
            TrainingError, match=f"other networks than these flags make: .*{reason}"
        ):
            tiny.train(tmp_path, trainer, steps=9, resume=True, allow_changes=True)
