"""The loop: what a training writes, shows, averages and ends with."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from gentool import Options, PathList, TrainingError, UsageError, weights
from gentool.cli.main import invoke
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
    tiny.train(tmp_path, steps=5, preview_every=2)
    files = sorted((tmp_path / "previews").iterdir())
    assert [file.name for file in files] == ["0000002.png", "0000004.png", "0000005.png"]
    with Image.open(files[0]) as preview:
        assert preview.size == (8, 8)


def test_the_end_is_previewed_unless_nobody_wants_previews(tmp_path):
    tiny.train(tmp_path / "none", steps=2, preview_every=0)
    assert not (tmp_path / "none/previews").exists()
    tiny.train(tmp_path / "timed", tiny.TinyTrainer(pause=0.01), minutes=0.005, preview_every=9999)
    assert len([*(tmp_path / "timed/previews").iterdir()]) == 1


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
    with pytest.raises(
        TrainingError,
        match=r"the set has 100 pictures to learn from, fewer than one batch of 128; take",
    ):
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


def test_a_score_that_is_no_number_is_null_in_the_log(tmp_path):
    scores = [float("nan"), float("-inf"), 2.0]
    tiny.train(tmp_path, tiny.TinyTrainer(scores=scores), steps=15)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (tmp_path / "metrics.jsonl").read_text()
    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    found = [d["validation"]["score"] for d in lines if "validation" in d]
    assert found == [None, None, 2.0]


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


@pytest.mark.skipif(sys.platform != "linux", reason="names are text on other systems")
def test_folders_whose_names_are_no_text_are_as_good_as_any(tmp_path):
    data, run = tmp_path / os.fsdecode(b"caf\xe9"), tmp_path / os.fsdecode(b"r\xe9sum\xe9")
    plan = Plan(data=[str(data)], steps=2, batch_size=4)
    again = plan.model_copy(update={"resume": True})
    for asked in (plan, again):
        assert train("tiny", lambda *_: tiny.TinyTrainer(), None, asked, run, device="cpu")
    header = weights.read_header(run / "weights.safetensors")
    assert header.metadata["trained_on"] == "100 samples (caf\\udce9)"
    page = tmp_path / "report.html"
    assert invoke(["report", str(run), "-o", str(page)]) == 0
    assert "<title>tiny: r\\udce9sum\\udce9</title>" in page.read_text("utf-8")


def test_several_devices_need_as_many_processes(tmp_path):
    plan = Plan(steps=2, batch_size=4, devices=8)
    with pytest.raises(
        UsageError, match=r"8 devices .* torchrun --nproc-per-node 8, .*--devices 8"
    ):
        train("tiny", tiny.TinyTrainer, None, plan, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


class Growing(tiny.TinyModel):
    """Its config tells how many networks there are."""

    def __init__(self, several):
        super().__init__()
        self.several = several

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def get_config(self):
        return {"several": self.several}

    @property
    def networks(self):
        return {"line": self.line} | ({"curve": torch.nn.Linear(2, 1)} if self.several else {})


def test_weights_of_other_networks_are_no_start(tmp_path):
    class Trainer(tiny.TinyTrainer):
        def __init__(self, options, setup):
            super().__init__()
            self.model = Growing(True)

    start = tmp_path / "w.safetensors"
    weights.save(start, Growing(False), "tiny")
    plan = Plan(steps=2, batch_size=4)
    with pytest.raises(
        UsageError, match=r"other network settings than this training's: several was"
    ):
        train("tiny", Trainer, None, plan, tmp_path / "run", device="cpu", start=start)


def test_a_data_set_without_numbers_is_one_line(tmp_path):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(torch.rand(100, 1))

    class Trainer(tiny.TinyTrainer):
        def __init__(self, options, setup):
            super().__init__()
            self.datasets = [Stream()]

    plan = Plan(steps=2, batch_size=4)
    with pytest.raises(TrainingError, match=r"Stream: .* map-style"):
        train("tiny", Trainer, None, plan, tmp_path / "run", device="cpu")
    with pytest.raises(TrainingError, match=r"Stream: .* map-style"):
        tiny.train(tmp_path / "run", Trainer(None, None), steps=2)


COMPILING = """
import sys
sys.path.insert(0, {tests!r})
import tiny
from gentool import TrainingError
from gentool.training import Plan, train
class Trainer(tiny.TinyTrainer):
    def __init__(self, options, setup):
        super().__init__()
        self.fit = setup.compile(self.fit)
    def fit(self, x):
        return (self.model.line(x).sin() + x.cos()).square().mean()
    def loss(self, moment, x):
        return self.fit(x), {{}}
try:
    plan = Plan(steps=2, batch_size=4, compile=True)
    train("tiny", Trainer, None, plan, {run!r}, device="cpu")
except TrainingError as e:
    print(e)
"""


def test_without_a_compiler_compile_is_one_line(tmp_path):
    code = COMPILING.format(tests=str(Path(__file__).parent), run=str(tmp_path / "run"))
    own = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("--compile: ")
    assert "C++ compiler" in done.stdout
    assert done.stdout.endswith("leave it out\n")
    assert done.stdout.count("\n") == 1


def test_tensorboard_files_hold_the_scalars(tmp_path):
    pytest.importorskip("tensorboard")
    tiny.train(tmp_path, steps=3, tensorboard=True)
    files = list((tmp_path / "tensorboard").iterdir())
    assert len(files) == 1
    assert b"gradient" in files[0].read_bytes()


def test_tensorboard_shows_no_step_twice_after_a_kill(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tiny.train(tmp_path, steps=4, log_every=1, checkpoint_every=2, tensorboard=True)
    (tmp_path / "checkpoints/0000004.safetensors").unlink()  # as if killed before it was written
    tiny.train(tmp_path, steps=6, log_every=1, tensorboard=True, resume=True, allow_changes=True)
    shown = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    steps = {tag: [point.step for point in shown.Scalars(tag)] for tag in shown.Tags()["scalars"]}
    assert steps
    assert all(found == [1, 2, 3, 4, 5, 6] for found in steps.values()), steps


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


def test_a_figure_may_be_infinite_and_only_losses_stop_a_training(tmp_path):
    class Perfect(tiny.TinyTrainer):
        def loss(self, moment, x):
            total, terms = super().loss(moment, x)
            return total, {**terms, "psnr": float("inf")}

    _, done = tiny.train(tmp_path, Perfect(), steps=6, log_every=2)
    assert done
    assert [terms["psnr"] for _, terms in curve(tmp_path)] == [None] * 3
    assert invoke(["report", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").exists()


class Calibrated(tiny.TinyTrainer):
    """Validates by a random number, and remembers after which steps it was calibrated."""

    def __init__(self):
        super().__init__()
        self.calibrated = []

    def calibrate(self):
        self.calibrated.append(len(self.seen))
        torch.rand(1)

    def validate(self):
        return {"drawn": float(torch.rand(1))}


def test_networks_are_calibrated_once_to_be_shown_and_saved(tmp_path):
    drawn = []
    for name, every in (("both", 5), ("saved", 0)):
        trainer, _ = tiny.train(tmp_path / name, Calibrated(), steps=10, preview_every=every)
        assert trainer.calibrated == [5, 10]
        lines = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        drawn.append([d["validation"]["drawn"] for d in lines if "validation" in d])
    assert drawn[0] == drawn[1]  # whether there was a preview makes no difference


class MoreData(Options):
    more_data: PathList


@pytest.mark.parametrize("run", ["", "runs/mine"])
def test_a_training_does_not_write_among_its_data(tmp_path, run):
    plan = Plan(data=[str(tmp_path)], steps=1)
    with pytest.raises(UsageError, match=r"^-o .*: lies in --data .*; previews would be trained"):
        train("tiny", lambda *_: tiny.TinyTrainer(), None, plan, tmp_path / run)
    options = MoreData(more_data=[tmp_path])
    with pytest.raises(UsageError, match=r"^-o .*: lies in --more-data .*; previews would be"):
        train("tiny", lambda *_: tiny.TinyTrainer(), options, Plan(steps=1), tmp_path / run)


@pytest.mark.parametrize(("schedule", "count"), [("constant", 1), ("linear", 0)])
def test_a_final_rate_that_is_never_reached_is_told(tmp_path, schedule, count):
    display = Listening()
    plan = Plan(steps=2, batch_size=4, lr_final=0.1, lr_schedule=schedule)
    train("tiny", tiny.TinyTrainer, None, plan, tmp_path, device="cpu", display=display)
    assert len([n for n in display.notes if n.startswith("--lr-final 0.1: no use")]) == count


def test_a_folder_that_is_taken_is_refused_before_the_data_are_read(tmp_path):
    tiny.train(tmp_path, steps=5)
    with pytest.raises(TrainingError, match="holds a training already"):
        train("tiny", lambda *_: pytest.fail("built"), None, Plan(steps=9), tmp_path)
