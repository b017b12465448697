"""How much of the device a training uses: FLOP/s as a share of what a matrix product reaches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from gentool.training.setup import Setup
from gentool.training.update import Moment, Update

WARM_UP = 3  # steps that compile, fill caches and choose algorithms
Step = Callable[[Moment, Sequence[Any]], dict[str, Tensor]]


class Profile:
    """Counts the operations of some steps, and times those after them.

    Args:
        setup: of the training.
        updates: the trainer's; as many steps are counted as do each of them as often as it is due.
            The first is left out, as losses do in it whatever they do now and then.
    """

    def __init__(self, setup: Setup, updates: Sequence[Update]) -> None:
        self.setup = setup
        self.counted = math.lcm(*(update.every for update in updates))
        self.flops, self.steps, self.seconds = 0, 0, 0.0

    def watch(self, step: Step) -> Step:
        """The step, counted or timed."""

        def watched(moment: Moment, batches: Sequence[Any]) -> dict[str, Tensor]:
            self.steps += 1
            if 1 < self.steps <= 1 + self.counted:
                # compiled code hides its operations from the counter
                with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as c:
                    scalars = step(moment, batches)
                self.flops += c.get_total_flops()
                return scalars
            begun = self._now()
            scalars = step(moment, batches)
            if self._timed > 0:
                self.seconds += self._now() - begun
            return scalars

        return watched

    @property
    def _timed(self) -> int:
        return self.steps - 1 - self.counted - WARM_UP

    def summary(self) -> str:
        """One line: what was computed, how fast, and how fast it could be."""
        steps = self._timed
        if steps < 1:
            return f"profile: too few steps to time; {self.steps - steps + 1} are needed"
        plan, flops = self.setup.plan, self.flops / self.counted
        rate, best = flops * steps / self.seconds / 1e9, self.peak() / 1e9
        pictures = plan.batch_size * plan.accumulate * steps / self.seconds
        threads = f", {torch.get_num_threads()} threads" if self.setup.device.type == "cpu" else ""
        return (
            f"profile: {flops / 1e9:.2f} GFLOP and {self.seconds / steps:.4f} s a step, "
            f"{pictures:.1f} pictures/s on {self.setup.device}{threads}; {rate:.1f} GFLOP/s, "
            f"{rate / best:.0%} of the {best:.0f} that a {self.setup.compute.precision} matrix "
            "product reaches"
        )

    def peak(self) -> float:
        """FLOP/s of the best of ten large matrix products, in the training's precision."""
        size = 2048 if self.setup.device.type == "cpu" else 8192
        a = torch.rand(size, size, device=self.setup.device, dtype=self.setup.compute.dtype)
        best = float("inf")
        matmul = torch.backends.cuda.matmul
        # in fp32 PyTorch lets convolutions round to TF32, but not products: compare like with like
        before, matmul.allow_tf32 = matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        try:
            for _ in range(10):
                begun = self._now()
                a @ a
                best = min(best, self._now() - begun)
        finally:
            matmul.allow_tf32 = before
        return 2 * size**3 / best

    def _now(self) -> float:
        if self.setup.device.type != "cpu":
            torch.accelerator.synchronize(self.setup.device)
        return time.perf_counter()
