"""Two gloo processes train as one with twice the batch; only the first writes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def torchrun(processes, *arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", str(HERE / "two_ranks.py"), *map(str, arguments)]
    subprocess.run(command, check=True, env=ENVIRONMENT, timeout=300, stderr=subprocess.DEVNULL)


def facts(run, rank):
    return json.loads(Path(f"{run}-rank{rank}.json").read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    torchrun(2, folder / "two", 8, 2)
    subprocess.run(
        [sys.executable, str(HERE / "two_ranks.py"), str(folder / "one"), "16", "2"],
        check=True,
        env=ENVIRONMENT,
        timeout=300,
    )
    return folder


def test_two_ranks_at_batch_8_give_the_gradients_of_one_at_16(runs):
    one = facts(runs / "one", 0)["gradients"]
    assert len(one) == 16  # two passes of four steps, two updates each
    for rank in range(2):
        two = facts(runs / "two", rank)["gradients"]
        for step, (a, b) in enumerate(zip(one, two, strict=True)):
            for x, y in zip(map(torch.tensor, a), map(torch.tensor, b), strict=True):
                torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-7, msg=f"update {step}")
                assert x.abs().max() > 0


def test_each_sample_is_seen_at_most_once_an_epoch(runs):
    seen = [facts(runs / "two", rank)["seen"] for rank in range(2)]
    assert [len(s) for s in seen] == [64, 64]  # of 70 samples six are left over in each pass
    for epoch in range(2):
        both = [i for s in seen for i in s[epoch * 32 : epoch * 32 + 32]]
        assert len(set(both)) == 64


def test_only_the_first_process_writes_and_logs_the_mean(runs):
    files = {p.name for p in (runs / "two").iterdir()}
    made = {"metrics.jsonl", "weights.safetensors", "checkpoints", "previews"}
    assert files == {".lock", "run.json", *made}
    curves = []
    for name in ("one", "two"):
        lines = map(json.loads, (runs / name / "metrics.jsonl").read_text().splitlines())
        curves.append([d["terms"]["net loss"] for d in lines])
    assert len(curves[0]) == 8
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)
    sessions = json.loads((runs / "two/run.json").read_text())["sessions"]
    assert sessions[0]["machine"]["processes"] == 2


@pytest.fixture
def pictures(tmp_path):
    for i in range(40):
        path = tmp_path / "data" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.effect_noise((80, 70), 60).convert("RGB").save(path)
    return tmp_path / "data"


def gentool(*arguments, **more):
    command = [sys.executable, "-m", "gentool", *map(str, arguments)]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def adain(pictures, teacher, run, *more):
    words = ["train", "adain", "--data", pictures, "--style-data", pictures]
    words += ["--teacher", teacher, "--batch-size", 2, "--crop-size", 64, "--precision", "fp32"]
    words += ["--device", "cpu", "--devices", 2, "--log-every", 1, "-o", run, *more]
    return gentool(*words, start_new_session=True)


def wait_for_the_log(process, run):
    log, deadline = run / "metrics.jsonl", time.monotonic() + 120
    while not log.exists() or not log.read_text():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def test_devices_starts_processes_and_ctrl_c_saves(pictures, vgg_like, tmp_path):
    process = adain(pictures, vgg_like, tmp_path / "run", "--steps", 500)
    wait_for_the_log(process, tmp_path / "run")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the launcher and both processes
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "go on with --resume" in err
    assert "Traceback" not in err
    assert list((tmp_path / "run/checkpoints").glob("*.safetensors"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_process_that_is_killed_is_one_line(pictures, vgg_like, tmp_path):
    process = adain(pictures, vgg_like, tmp_path / "run", "--steps", 5000)
    wait_for_the_log(process, tmp_path / "run")
    both = [p for p in psutil.Process(process.pid).children() if "RANK" in p.environ()]
    (first,) = (p for p in both if p.environ()["RANK"] == "0")
    first.kill()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    last = err.splitlines()[-1]
    assert last.startswith("gentool: error: process 0 of this training was ended by SIGKILL; often")
    assert "--resume" in last
    assert "Traceback" not in err


BOTH = """
import os, re, sys
sys.path.insert(0, {tests!r})
import two_ranks
from gentool import GentoolError, OutputError, TrainingError
from gentool.training import Plan, train
from gentool.training.distributed import agreed, leave
{trainer}
try:
    plan = Plan(steps=9, batch_size=2, checkpoint_every=2)
    train("two", trainer, None, plan, {run!r}, device="cpu")
except GentoolError as e:
    what = re.sub("(stuck: (Timed out)?).*", r"\\1", str(e))  # else as it happens
    sys.stdout.write(" ".join(["rank", os.environ["RANK"], what, str(agreed(e))]) + "\\n")
leave(0)
"""


def errors_of_both(folder, trainer):
    """What two processes that train say of their errors, and whether each is known to all."""
    code = BOTH.format(
        tests=str(HERE), run=str(folder / "run"), trainer=textwrap.dedent(trainer).strip()
    )
    (folder / "both.py").write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", str(folder / "both.py")]
    ran = subprocess.run(
        command, check=True, env=ENVIRONMENT, timeout=300, capture_output=True, text=True
    )
    return sorted(ran.stdout.splitlines())


def test_an_error_of_one_process_stops_all_with_one_line(tmp_path):
    trainer = """
    def trainer(options, setup):
        if setup.group.rank == 1:
            raise TrainingError("no such folder here")
        return two_ranks.Two(options, setup)
    """
    assert errors_of_both(tmp_path, trainer) == [
        "rank 0 process 1: no such folder here True",
        "rank 1 no such folder here True",
    ]
    assert not (tmp_path / "run").exists()


def test_an_error_amid_the_training_is_told_by_the_process_that_had_it(tmp_path):
    trainer = """
    class trainer(two_ranks.Two):
        def validate(self):  # which the first process does alone
            raise OutputError("no space left")
    """
    assert errors_of_both(tmp_path, trainer) == [
        "rank 0 no space left False",
        "rank 1 another process of this training ended or is stuck:  True",
    ]


def test_an_error_of_the_data_of_one_process_is_told_by_all(tmp_path):
    trainer = """
    class Damaged(list):
        def __getitem__(self, number):
            raise TrainingError("no such sample")
    class trainer(two_ranks.Two):
        def __init__(self, options, setup):
            super().__init__(options, setup)
            if setup.group.rank == 1:
                self.datasets = [Damaged(self.datasets[0])]
    """
    assert errors_of_both(tmp_path, trainer) == [
        "rank 0 process 1: no such sample True",
        "rank 1 no such sample True",
    ]


def test_an_error_in_the_step_of_one_process_is_one_line_in_the_other(tmp_path):
    trainer = """
    class trainer(two_ranks.Two):
        def loss(self, moment, batch):
            if self.setup.group.rank == 1:
                raise TrainingError("no such loss")
            return super().loss(moment, batch)
    """
    assert errors_of_both(tmp_path, trainer) == [
        "rank 0 another process of this training ended or is stuck:  True",
        "rank 1 no such loss False",
    ]


def test_a_long_validation_is_waited_for_and_one_without_an_end_is_not(tmp_path):
    trainer = """
    import time
    from datetime import timedelta
    from gentool.training import distributed
    assert distributed.PATIENCE >= timedelta(hours=2)
    distributed.PATIENCE = timedelta(seconds=10)
    class trainer(two_ranks.Two):
        def validate(self):
            time.sleep(16)
            return {}
    """
    assert errors_of_both(tmp_path, trainer) == [
        "rank 0 another process of this training ended or is stuck:  True",
        "rank 1 another process of this training ended or is stuck: Timed out True",
    ]


def test_what_each_process_logged_is_resumed_by_it(tmp_path):
    trainer = """
    from gentool.training import Plan as Asked
    def Plan(**_):
        return Asked(batch_size=2, log_every=4, checkpoint_every=3, preview_every=0, **ASKED)
    class trainer(two_ranks.Two):
        def loss(self, moment, batch):
            if STOP and moment.step == 5:
                raise TrainingError("stopped")
            return super().loss(moment, batch)
    """

    def ends(folder, stop, **asked):
        folder.mkdir(exist_ok=True)
        code = f"STOP, ASKED = {stop}, {asked}\n{textwrap.dedent(trainer)}"
        return errors_of_both(folder, code)

    def curve(folder):
        lines = (folder / "run/metrics.jsonl").read_text().splitlines()
        return [(d["step"], d["terms"]) for d in map(json.loads, lines)]

    assert ends(tmp_path / "whole", False, steps=8) == []
    assert ends(tmp_path / "parts", True, steps=8) == [
        "rank 0 stopped False",
        "rank 1 stopped False",
    ]
    assert ends(tmp_path / "parts", False, steps=8, resume=True) == []
    assert [step for step, _ in curve(tmp_path / "whole")] == [4, 8]
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")


TWICE = """
import sys
sys.path.insert(0, {tests!r})
import two_ranks
from gentool.training import Plan, train
from gentool.training.distributed import leave
for name in ("first", "second"):
    plan = Plan(steps=2, batch_size=2, log_every=1)
    train("two", two_ranks.Two, None, plan, {folder!r} + "/" + name, device="cpu")
leave(0)
"""


def test_a_script_may_train_twice(tmp_path):
    (tmp_path / "twice.py").write_text(TWICE.format(tests=str(HERE), folder=str(tmp_path)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", str(tmp_path / "twice.py")]
    done = subprocess.run(
        command, check=False, env=ENVIRONMENT, timeout=300, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("first", "second")]
    terms = [[json.loads(line)["terms"] for line in log.splitlines()] for log in logs]
    assert len(terms[0]) == 2
    assert terms[0] == terms[1]


@pytest.mark.parametrize("debug", [False, True])
def test_debug_shows_the_traceback_in_a_process_of_torchrun_too(tmp_path, debug):
    started = ENVIRONMENT | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    started.pop("MASTER_ADDR", None)
    line = ["train", "vae", "--data", "none", "-o", tmp_path / "run", *["--debug"] * debug]
    done = subprocess.run(
        [sys.executable, "-m", "gentool", *line],
        env=started,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "\ngentool: error: cannot meet the other processes" in f"\n{done.stderr}"
    assert ("Traceback" in done.stderr) is debug


def test_an_error_in_all_processes_is_one_line(pictures, vgg_like, tmp_path):
    process = adain(pictures, vgg_like, tmp_path / "run", "--steps", 5, "--batch-size", 64)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert not out
    assert err.count("gentool: error: ") == err.count(" to learn from, fewer than one step") == 1
    assert "Traceback" not in err
