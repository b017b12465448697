"""A training that is killed, stopped or loses its terminal keeps what it learnt."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from gentool.training import signals

from . import tiny
from .tiny import checkpoints, curve


def start_and_signal(run, after, *numbers):
    process = tiny.start(run)
    log = run / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < after:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    for each in numbers:
        process.send_signal(each)
    return process.wait(timeout=60)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_three_times_at_random_it_ends_as_if_it_never_was(tmp_path):
    tiny.train(tmp_path / "whole", steps=60)
    moments = random.Random(7)
    for kill in range(3):
        run = tmp_path / f"run{kill}"
        after = moments.randrange(6, 50)
        assert start_and_signal(run, after, signal.SIGKILL) == -signal.SIGKILL
        tiny.train(run, steps=60, resume=True)
        assert curve(run) == curve(tmp_path / "whole")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_while_a_checkpoint_is_written_the_one_before_serves(tmp_path):
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
    killed = tiny.start(tmp_path / "run", textwrap.dedent(dies))
    assert killed.wait(timeout=60) == -signal.SIGKILL
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
        *(".lock", "checkpoints", "metrics.jsonl", "weights.safetensors")
    }


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C otherwise")
@pytest.mark.parametrize(
    "names",
    [["SIGINT"], ["SIGTERM"], ["SIGHUP"], ["SIGHUP", "SIGHUP", "SIGTERM"], ["SIGTERM", "SIGINT"]],
)
def test_signals_to_stop_finish_the_step_and_save(tmp_path, names):
    numbers = [getattr(signal, name) for name in names]
    assert start_and_signal(tmp_path / "run", 7, *numbers) == 0
    done = max(checkpoints(tmp_path / "run"))
    assert 7 <= done < 60
    assert len(curve(tmp_path / "run")) == done


WATCHED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import signal, tiny
from gentool.cli import watch
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.setsid()
sys.stderr = os.fdopen(os.open({terminal!r}, os.O_RDWR), "w")  # it controls this process now
display = watch.display(False)
assert isinstance(display, watch.Live)
tiny.train(Path({run!r}), tiny.TinyTrainer(pause=0.01), display, steps=600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="terminals are Linux' here")
def test_a_training_is_saved_when_its_terminal_is_closed(tmp_path):
    import pty

    ours, theirs = pty.openpty()
    run, log = tmp_path / "run", tmp_path / "run/metrics.jsonl"
    code = WATCHED.format(tests=tiny.HERE, run=str(run), terminal=os.ttyname(theirs))
    with subprocess.Popen([sys.executable, "-c", code]) as training:
        os.close(theirs)
        os.set_blocking(ours, False)
        while not log.exists() or len(log.read_text().splitlines()) < 7:
            assert training.poll() is None
            with contextlib.suppress(OSError):  # nothing was shown yet
                os.read(ours, 65536)
            time.sleep(0.01)
        os.close(ours)
        training.wait(timeout=60)  # 120: Python itself could not flush stderr
    assert 7 <= max(checkpoints(run)) < 600


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to itself")
@pytest.mark.parametrize("patient", [True, False])
def test_a_signal_that_torchrun_passes_on_late_finds_nobody(patient):
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # & may have started it
        with signals.interruptible(patient, lambda _: None) as asked:
            assert not asked.is_set()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # nobody asked
        with signals.interruptible(patient, lambda _: None) as asked:
            signal.raise_signal(signal.SIGINT)
            assert asked.wait(10)
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert ignored == patient
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, before if number == signal.SIGINT else signal.SIG_DFL)
