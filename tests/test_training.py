"""The loop: resumes bit for bit, loses nothing, stops with one clear line."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from gentool import OutputError, TrainingError, weights
from gentool.compute import Compute, choose
from gentool.training import Display, Moment, Plan, Setup, Update, fit, train
from gentool.training.profile import Profile
from gentool.training.stepper import Stepper

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import tiny  # noqa: E402


class Listening(Display):
    def __init__(self):
        self.notes, self.records = [], []

    def note(self, text):
        self.notes.append(text)

    def record(self, record):
        self.records.append(record)


def curve(run):
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(d["step"], d["terms"]) for d in lines if "terms" in d]


def checkpoints(run):
    return sorted(int(p.stem) for p in (run / "checkpoints").glob("*.safetensors"))


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


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import tiny
tiny.train(Path({run!r}), tiny.TinyTrainer(pause=0.01), steps=60)
"""


def start(run):
    code = textwrap.dedent(KILLED).format(tests=str(HERE), run=str(run))
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)


def start_and_signal(run, number, after):
    process = start(run)
    log = run / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < after:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(number)
    return process.wait(timeout=60)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_three_times_at_random_it_ends_as_if_it_never_was(tmp_path):
    tiny.train(tmp_path / "whole", steps=60)
    moments = random.Random(7)
    for kill in range(3):
        run = tmp_path / f"run{kill}"
        after = moments.randrange(6, 50)
        assert start_and_signal(run, signal.SIGKILL, after) == -signal.SIGKILL
        tiny.train(run, steps=60, resume=True)
        assert curve(run) == curve(tmp_path / "whole")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_while_a_checkpoint_is_written_the_one_before_serves(tmp_path):
    code = textwrap.dedent(KILLED).format(tests=str(HERE), run=str(tmp_path / "run"))
    dies = """
    import os, signal
    real, count = os.fsync, 0
    def fsync(handle):
        global count
        count += 1
        if count == 4:  # each checkpoint is written after its weights
            os.kill(os.getpid(), signal.SIGKILL)
        real(handle)
    os.fsync = fsync
    """
    code = textwrap.dedent(dies) + code
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL
    folder = tmp_path / "run/checkpoints"
    assert len(list(folder.iterdir())) == 2  # one is the temporary file
    tiny.train(tmp_path / "run", steps=60, resume=True)
    tiny.train(tmp_path / "whole", steps=60)
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")
    assert all(p.suffix == ".safetensors" and p.stem.isdigit() for p in folder.iterdir())


def test_what_a_kill_left_of_the_weights_is_removed(tmp_path):
    tiny.train(tmp_path, steps=5)
    (tmp_path / ".weights-x1y2").write_bytes(b"half")
    tiny.train(tmp_path, steps=10, resume=True, allow_changes=True)
    assert {p.name for p in tmp_path.iterdir()} == {
        *("checkpoints", "metrics.jsonl", "weights.safetensors")
    }


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C otherwise")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_finish_the_step_and_save(tmp_path, number):
    assert start_and_signal(tmp_path / "run", number, 7) == 0
    done = max(checkpoints(tmp_path / "run"))
    assert 7 <= done < 60
    assert len(curve(tmp_path / "run")) == done


def test_nan_stops_and_keeps_the_last_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match=r"step 8: loss is nan.*lower learning rate"):
        tiny.train(tmp_path, tiny.TinyTrainer(poison=7), steps=20)
    assert checkpoints(tmp_path) == [5]
    state = weights.read_tensors(tmp_path / "checkpoints/0000005.safetensors")
    assert all(tensor.isfinite().all() for tensor in state.values())


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
    trainer, _ = tiny.train(tmp_path, display=display, steps=9, resume=True, allow_changes=True)
    assert trainer.seen == [5, 6, 7, 8]
    assert any("going on although steps was 5 and is now 9" in note for note in display.notes)


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
    with pytest.raises(TrainingError, match="no sound checkpoint to resume from"):
        tiny.train(tmp_path, steps=10, resume=True)


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


def setup(**plan):
    return Setup(Plan(**plan), choose("cpu", "fp32"))


def test_accumulated_batches_give_the_gradient_of_one_large_batch():
    torch.manual_seed(0)
    net, x = torch.nn.Linear(4, 2), torch.rand(16, 4)

    def gradient(batches):
        update = Update(
            {"net": net},
            torch.optim.SGD(net.parameters(), lr=0.0),
            lambda moment, batch: (net(batch).square().mean(), {}),
        )
        scalars = Stepper([update], setup())(Moment(0, 0.0), batches)
        return net.weight.grad.clone(), scalars["loss"]

    whole, loss = gradient([[x]])
    parts, mean = gradient([[x[:8]], [x[8:]]])
    torch.testing.assert_close(whole, parts)
    torch.testing.assert_close(loss, mean)


def test_two_updates_alternate_and_leave_each_other_alone():
    """A generator's loss runs through the discriminator, whose gradients it must not touch."""
    torch.manual_seed(0)
    one, two = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
    frozen = torch.nn.Linear(2, 2).requires_grad_(False)
    order = []

    def loss(name):
        def compute(moment, batch):
            order.append((name, moment.step))
            return two(one(frozen(batch))).mean(), {"term": batch.sum()}

        return compute

    def update(name, nets, **more):
        parameters = [p for net in nets.values() for p in net.parameters() if p.requires_grad]
        return Update(nets, torch.optim.SGD(parameters, lr=0.1), loss(name), name=name, **more)

    updates = [update("d", {"two": two}), update("g", {"one": one, "frozen": frozen}, every=2)]
    stepper = Stepper(updates, setup())
    before = two.weight.clone()
    scalars = stepper(Moment(0, 0.0), [[torch.rand(3, 2)]])
    terms = {f"{name} {term}" for name in "dg" for term in ("loss", "gradient", "term")}
    assert set(scalars) == terms
    after_d = before - 0.1 * two.weight.grad
    torch.testing.assert_close(two.weight, after_d)  # only d's own step moved it
    assert not frozen.weight.requires_grad
    assert frozen.weight.grad is None
    assert "g loss" not in stepper(Moment(1, 0.5), [[torch.rand(3, 2)]])
    assert order == [("d", 0), ("g", 0), ("d", 1)]


def test_updates_and_terms_that_would_hide_each_other_are_refused():
    net = torch.nn.Linear(1, 1)

    def update(name, term="term"):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        return Update({"net": net}, optimizer, lambda m, b: (net(b).sum(), {term: 1.0}), name=name)

    for names in (("", ""), ("a", "a")):
        with pytest.raises(TrainingError, match="several updates need a name each"):
            Stepper([update(name) for name in names], setup())
    stepper = Stepper([update("", "loss")], setup())
    with pytest.raises(TrainingError, match="rename the term"):
        stepper(Moment(0, 0.0), [[torch.ones(1, 1)]])


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


def test_clipping_limits_the_gradient_and_logs_it_before():
    net = torch.nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    update = Update({"net": net}, optimizer, lambda m, b: (100 * net(b).sum(), {}))
    scalars = Stepper([update], setup(clip=2.0))(Moment(0, 0.0), [[torch.ones(1, 1)]])
    assert scalars["gradient"].item() == pytest.approx(100)
    assert net.weight.grad.item() == pytest.approx(2.0, rel=1e-4)


def test_fp16_scales_the_loss_and_skips_a_step_whose_gradients_overflow():
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(net.weight)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    update = Update({"net": net}, optimizer, lambda m, b: (net(b).sum(), {"double": 2.0}))
    half = Setup(Plan(), Compute(torch.device("cpu"), torch.float16))
    stepper = Stepper([update], half)
    scale = stepper.scaler.get_scale()
    stepper(Moment(0, 0.0), [[torch.ones(1, 1)]])
    assert net.weight.item() == pytest.approx(0.9)  # the gradient of 1 was scaled and scaled back
    scalars = stepper(Moment(1, 0.0), [[torch.full((1, 1), 1e38)]])
    assert scalars["gradient"] == 0  # it overflowed, which is nothing to stop for
    assert net.weight.item() == pytest.approx(0.9)
    assert stepper.scaler.get_scale() == scale / 2


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


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("constant", [1, 1, 1]), ("linear", [1, 0.55, 0.1]), ("cosine", [1, 0.55, 0.1])],
)
def test_learning_rates_follow_the_schedule(schedule, rates):
    stepper = Stepper([], setup(lr_schedule=schedule, lr_final=0.1))
    found = [stepper.rate(Moment(10, share)) for share in (0.0, 0.5, 1.0)]
    assert found == pytest.approx(rates)
    rising = Stepper([], setup(lr_warmup=3))
    assert [rising.rate(Moment(i, 0.0)) for i in range(5)] == [0.25, 0.5, 0.75, 1, 1]


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
        profile = Profile(setup(), updates)
        step = profile.watch(Stepper(updates, setup()))
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


def test_tensorboard_files_hold_the_scalars(tmp_path):
    pytest.importorskip("tensorboard")
    tiny.train(tmp_path, steps=3, tensorboard=True)
    files = list((tmp_path / "tensorboard").iterdir())
    assert len(files) == 1
    assert b"gradient" in files[0].read_bytes()


def test_the_trainer_in_the_documentation_is_short_and_learns(tmp_path, pictures):
    text = (HERE.parent / "docs/training.md").read_text(encoding="utf-8")
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
