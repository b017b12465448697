"""How much of the device a training uses: FLOP/s as a share of what a matrix product reaches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from gentool.training.setup import Setup
from gentool.training.update import Moment

WARM_UP = 3  # steps that compile, fill caches and choose algorithms
Step = Callable[[Moment, Sequence[Any]], dict[str, Tensor]]


class Profile:
    """Counts the operations of the first step, and times the others."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.flops, self.steps, self.seconds = 0, 0, 0.0

    def watch(self, step: Step) -> Step:
        """The step, counted or timed."""

        def watched(moment: Moment, batches: Sequence[Any]) -> dict[str, Tensor]:
            if self.flops == 0:
                # compiled code hides its operations from the counter
                with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as c:
                    scalars = step(moment, batches)
                self.flops = c.get_total_flops()
                return scalars
            begun = self._now()
            scalars = step(moment, batches)
            self.steps += 1
            if self.steps > WARM_UP:
                self.seconds += self._now() - begun
            return scalars

        return watched

    def summary(self) -> str:
        """One line: what was computed, how fast, and how fast it could be."""
        steps = self.steps - WARM_UP
        if steps < 1:
            return f"profile: too few steps to time; {WARM_UP + 2} are needed"
        plan = self.setup.plan
        rate, best = self.flops * steps / self.seconds / 1e9, self.peak() / 1e9
        pictures = plan.batch_size * plan.accumulate * steps / self.seconds
        threads = f", {torch.get_num_threads()} threads" if self.setup.device.type == "cpu" else ""
        return (
            f"profile: {self.flops / 1e9:.2f} GFLOP and {self.seconds / steps:.4f} s a step, "
            f"{pictures:.1f} pictures/s on {self.setup.device}{threads}; {rate:.1f} GFLOP/s, "
            f"{rate / best:.0%} of the {best:.0f} that a {self.setup.compute.precision} matrix "
            "product reaches"
        )

    def peak(self) -> float:
        """FLOP/s of the best of ten large matrix products, in the training's precision."""
        size = 2048 if self.setup.device.type == "cpu" else 8192
        a = torch.rand(size, size, device=self.setup.device, dtype=self.setup.compute.dtype)
        best = float("inf")
        for _ in range(10):
            begun = self._now()
            a @ a
            best = min(best, self._now() - begun)
        return 2 * size**3 / best

    def _now(self) -> float:
        if self.setup.device.type == "cuda":
            torch.cuda.synchronize(self.setup.device)
        return time.perf_counter()
