"""The smallest real model and trainer, a line fitted to points, and what a run of it left."""

import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from gentool import Trainer
from gentool.artifacts import Grid
from gentool.compute import choose
from gentool.training import Display, Plan, Setup, Update, fit


class TinyModel(torch.nn.Module):
    """y = a x + b."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    @classmethod
    def from_config(cls, config):
        return cls()

    def get_config(self):
        return {}

    @property
    def networks(self):
        return {"line": self.line}


class TinyTrainer(Trainer):
    """Fits y = 3 x - 1; noise drawn in the loss shows whether random state is resumed."""

    def __init__(self, options=None, setup=None, poison=None, pause=0.0, scores=None):
        torch.manual_seed(0)
        self.model = TinyModel()
        self.datasets = (list(torch.rand(100, 1, generator=torch.Generator().manual_seed(1))),)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.updates = (Update(self.model.networks, optimizer, self.loss),)
        self.poison, self.pause = poison, pause  # the step at which the loss becomes nan
        self.scores = scores  # what validate() gives, one after the other
        self.seen = []
        self.samples = []

    def loss(self, moment, x):
        time.sleep(self.pause)
        self.seen.append(moment.step)
        self.samples += x.flatten().tolist()
        target = 3 * x - 1 + 0.01 * torch.randn_like(x)
        error = (self.model.line(x) - target).square().mean()
        return (error * float("nan") if moment.step == self.poison else error), {"error": error}

    def preview(self):
        return [Grid([torch.rand(3, 8, 8)])]

    def validate(self):
        return {"score": self.scores.pop(0)} if self.scores else {}

    def state(self):
        return {"seen": torch.tensor(len(self.seen))}


def train(run, trainer=None, display=None, hyper=None, **plan):
    """Train into a folder; the trainer, and whether all was done."""
    trainer = trainer or TinyTrainer()
    defaults = {"batch_size": 16, "checkpoint_every": 5, "log_every": 1, "preview_every": 0}
    setup = Setup(Plan(**(defaults | plan)), choose("cpu", "fp32"))
    done = fit(trainer, setup, run, "tiny", hyper=hyper or {"rate": 0.1}, display=display)
    return trainer, done


class Listening(Display):
    """Keeps what it was told."""

    def __init__(self):
        self.notes, self.records, self.lefts, self.times = [], [], [], []

    def note(self, text):
        self.notes.append(text)

    def record(self, record):
        self.records.append(record)

    def step(self, done, share, left):
        self.lefts.append(left)
        self.times.append(time.perf_counter())


HERE = str(Path(__file__).parent)
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import signal, tiny
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
tiny.train(Path({run!r}), tiny.TinyTrainer(pause={pause}), steps=60, **{plan})
"""


def start(run, before="", pause=0.01, **plan):
    """A training of 60 steps in a process of its own, which runs the code `before` first."""
    code = before + SCRIPT.format(tests=HERE, run=str(run), pause=pause, plan=plan)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)


def curve(run):
    """Step and terms of every line of a run's log."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(d["step"], d["terms"]) for d in lines if "terms" in d]


def checkpoints(run):
    """The steps after which a checkpoint is kept."""
    return sorted(int(p.stem) for p in (run / "checkpoints").glob("*.safetensors"))
