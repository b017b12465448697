"""Ctrl-C keeps the picture, and --resume goes on as if nothing had been."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

import gentool
from gentool import UsageError
from gentool.progress import Progress
from gentool_gatys.job import cache_folder


class Interrupt(Progress):
    """Ctrl-C after so many evaluations."""

    def __init__(self, after):
        self.after, self.notes = after, []

    def note(self, text):
        self.notes.append(text)

    @contextlib.contextmanager
    def bar(self, total, what):
        def show(done, text):
            if done == self.after:
                signal.raise_signal(signal.SIGINT)

        yield show


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_interrupted_and_resumed_is_bit_for_bit_uninterrupted(method, flags, optimizer):
    flags |= {"optimizer": optimizer}
    whole = method.stylize(**flags).tensor
    progress = Interrupt(after=7)
    artifacts = method.stream(None, method.options(**flags), method.context(progress))
    halfway = next(artifacts)
    with pytest.raises(KeyboardInterrupt):
        next(artifacts)
    assert halfway.tensor.shape == whole.shape
    assert not torch.equal(halfway.tensor, whole)
    assert "with --resume goes on" in progress.notes[-1]
    assert "after 7 evaluations" in progress.notes[-1]
    assert torch.equal(method.stylize(**flags, resume=True).tensor, whole)
    with pytest.raises(UsageError, match="nothing to go on with"):  # it is done
        method.stylize(**flags, resume=True)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_stopped_again_before_it_went_on_it_loses_nothing(method, flags, optimizer):
    class AtOnce(Interrupt):
        @contextlib.contextmanager
        def bar(self, total, what):
            signal.raise_signal(signal.SIGINT)
            yield lambda _done, _text: None

    flags |= {"optimizer": optimizer}
    whole = method.stylize(**flags).tensor
    for resume, progress in ((False, Interrupt(after=7)), (True, AtOnce(after=0))):
        options = method.options(**flags, resume=resume)
        with pytest.raises(KeyboardInterrupt):
            list(method.stream(None, options, method.context(progress)))
        assert "after 7 evaluations" in progress.notes[-1]
    assert torch.equal(method.stylize(**flags, resume=True).tensor, whole)


def test_a_resumed_picture_tells_the_seed_that_made_it(flags):
    flags |= {"init": "noise"}
    method = gentool.load("gatys", precision="fp32")  # each run draws a seed
    context = method.context(Interrupt(after=7))
    seed = context.seed
    with pytest.raises(KeyboardInterrupt):
        list(method.stream(None, method.options(**flags), context))
    assert context.seed == seed
    other = gentool.load("gatys", precision="fp32", seed=seed + 1)
    with pytest.raises(UsageError, match=f"began with seed {seed}, not {seed + 1}; leave out"):
        other.stylize(**flags, resume=True)
    resumed = method.stylize(**flags, resume=True)
    assert resumed.provenance[0]["seed"] == seed
    whole = gentool.load("gatys", precision="fp32", seed=seed).stylize(**flags)
    assert torch.equal(resumed.tensor, whole.tensor)


def test_a_damaged_run_says_to_begin_anew(method, flags):
    with pytest.raises(KeyboardInterrupt):
        list(method.stream(None, method.options(**flags), method.context(Interrupt(after=3))))
    (kept,) = cache_folder().iterdir()
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(UsageError, match=f"{kept} is damaged; run without --resume"):
        method.stylize(**flags, resume=True)
    assert method.stylize(**flags).tensor.isfinite().all()


def test_what_was_painted_smaller_still_counts_after_an_interruption(method, flags, monkeypatch):
    class InterruptLarge(Interrupt):
        def bar(self, total, what):
            return super().bar(total, what) if what == "96 px" else Progress.bar(self, total, what)

    monkeypatch.setattr("gentool_gatys.painting.LARGEST_AT_ONCE", 64)  # 12 evaluations, then 6
    progress = InterruptLarge(after=4)
    with pytest.raises(KeyboardInterrupt):
        list(method.stream(None, method.options(**flags), method.context(progress)))
    assert "after 16 evaluations" in progress.notes[-1]
    progress = Interrupt(after=0)
    list(method.stream(None, method.options(**flags, resume=True), method.context(progress)))
    assert "after 18 evaluations" in progress.notes[-1]


def test_a_batch_goes_on_at_the_content_that_was_interrupted(method, flags):
    other = flags | {"content": flags["style"]}
    whole = [method.stylize(**each).tensor for each in (flags, other)]
    progress = Interrupt(after=7)
    with pytest.raises(KeyboardInterrupt):
        list(method.stream(None, method.options(**other), method.context(progress)))
    flags["content"] = [flags["content"], flags["style"]]
    progress = Interrupt(after=0)
    options = method.options(**flags, resume=True)
    resumed = [i.tensor for i in method.stream(None, options, method.context(progress))]
    for picture, wanted in zip(resumed, whole, strict=True):
        assert torch.allclose(picture, wanted, atol=1e-5)
    assert sum("starting anew" in note for note in progress.notes) == 1


def test_where_nothing_can_be_kept_the_picture_still_comes(method, flags, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    progress = Interrupt(after=7)
    artifacts = method.stream(None, method.options(**flags), method.context(progress))
    assert next(artifacts).tensor.isfinite().all()
    with pytest.raises(KeyboardInterrupt):
        next(artifacts)
    assert "cannot be gone on with" in progress.notes[0]
    assert progress.notes[-1].endswith("stopped by Ctrl-C")


def test_networks_of_one_name_in_other_folders_do_not_share_what_is_kept(
    method, flags, network, tmp_path
):
    shutil.copy(network, tmp_path / network.name)
    with pytest.raises(KeyboardInterrupt):
        list(method.stream(None, method.options(**flags), method.context(Interrupt(after=3))))
    flags["features"] = [str(tmp_path / network.name)]
    with pytest.raises(UsageError, match="nothing to go on with"):
        method.stylize(**flags, resume=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_writes_the_picture_and_exits_with_130(flags, tmp_path):
    out = tmp_path / "o.png"
    line = ["run", "gatys", "-o", out, "--content", flags["content"], "--style", flags["style"]]
    line += ["--features", *flags["features"], "--content-size", 96, "--init", "content"]
    line += ["--steps", 100000, "--tolerance", 0, "--preview-every", 20, "--threads", 1]
    command = [sys.executable, "-m", "gentool", *map(str, line)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    preview = tmp_path / "o-preview.png"
    deadline = time.monotonic() + 60
    while not preview.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    with Image.open(out) as image:
        assert image.size == (96, 72)
    assert str(out) in stdout.splitlines()[-1]


def test_without_a_home_interrupted_runs_are_kept_with_temporary_files(monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    assert cache_folder() == Path(tempfile.gettempdir()) / "gentool/gatys"
