"""Two gloo processes train as one with twice the batch; only the first writes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

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


def test_devices_starts_processes_and_ctrl_c_saves(pictures, vgg_like, tmp_path):
    process = adain(pictures, vgg_like, tmp_path / "run", "--steps", 500)
    log = tmp_path / "run/metrics.jsonl"
    deadline = time.monotonic() + 120
    while not log.exists() or not log.read_text():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the launcher and both processes
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "go on with --resume" in err
    assert "Traceback" not in err
    assert list((tmp_path / "run/checkpoints").glob("*.safetensors"))


BOTH = """
import os, sys
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
    sys.stdout.write(" ".join(["rank", os.environ["RANK"], str(e), str(agreed(e))]) + "\\n")
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
    ran = subprocess.run(command, check=True, env=ENVIRONMENT, capture_output=True, text=True)
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
        "rank 1 another process of this training ended True",
    ]


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
    assert err.count("gentool: error: the set has") == 1
    assert "Traceback" not in err
