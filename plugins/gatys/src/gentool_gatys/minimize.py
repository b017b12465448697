"""Minimisers that ask for one evaluation at a time, so that a run can stop, show and resume.

Both see a flat float32 tensor and are told loss and gradient at it; ``step`` says where to
evaluate next. ``state`` and ``load_state`` carry everything: a resumed run goes on bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

FIRST_STEP = 0.1  # root mean square of the first step, and
LONGEST_STEP = 1.0  # of any; in logits, where the whole range of 8 bits is 12.5 long


class Minimizer(Protocol):
    """One way to go downhill."""

    def step(self, x: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """Where to evaluate next, given loss and gradient at ``x``; all of one shape."""
        ...

    def state(self) -> dict[str, Tensor]: ...
    def load_state(self, state: Mapping[str, Tensor]) -> None: ...


class LBFGS:
    """Limited-memory BFGS (Nocedal & Wright 2006, algorithm 7.4) without line search.

    A step is taken as it is unless the loss rises by half or is not finite; then it goes back to
    where it came from and takes a quarter of it, and forgets the curvature if that happens again.
    (``torch.optim.LBFGS`` judges curvature by absolute thresholds, which losses divided by the
    number of pixels fall below, and steps blindly.)

    Args:
        history: pairs of steps and gradient changes to keep, two pictures each.
    """

    def __init__(self, history: int = 20) -> None:
        self.history = history
        self.steps: list[Tensor] = []
        self.changes: list[Tensor] = []
        self.at: Tensor | None = None  # the last accepted point,
        self.gradient: Tensor | None = None
        self.loss = float("inf")
        self.shrunk = 0  # how often the step from there was refused

    def step(self, x: Tensor, loss: float, gradient: Tensor) -> Tensor:
        if self.at is not None and self.gradient is not None:
            if not loss <= 1.5 * self.loss:  # nan too
                return self._shorter(x)
            self._learn(x - self.at, gradient - self.gradient)
        self.at, self.gradient, self.loss, self.shrunk = x.clone(), gradient.clone(), loss, 0
        return x + _at_most(self._direction(gradient), LONGEST_STEP)

    def _shorter(self, x: Tensor) -> Tensor:
        assert self.at is not None
        assert self.gradient is not None
        self.shrunk += 1
        if self.shrunk > 1:
            self.steps, self.changes = [], []
            size = FIRST_STEP * 0.25**self.shrunk
            return self.at - self.gradient * (size / _rms(self.gradient))
        return self.at + (x - self.at) / 4

    def _learn(self, s: Tensor, y: Tensor) -> None:
        # the picture of negative curvature tells nothing that a descent direction could use
        if torch.dot(s.flatten(), y.flatten()) > 1e-6 * s.norm() * y.norm():
            self.steps = [*self.steps, s][-self.history :]
            self.changes = [*self.changes, y][-self.history :]

    def _direction(self, gradient: Tensor) -> Tensor:
        if not self.steps:
            return -gradient * (FIRST_STEP / _rms(gradient))
        q, used = gradient.clone().flatten(), []
        pairs = [(s.flatten(), y.flatten()) for s, y in zip(self.steps, self.changes, strict=True)]
        for s, y in reversed(pairs):
            curvature = torch.dot(s, y).item()
            alpha = torch.dot(s, q).item() / curvature
            q.sub_(y, alpha=alpha)
            used.append((curvature, alpha))
        s, y = pairs[-1]
        q.mul_((torch.dot(s, y) / torch.dot(y, y)).item())
        for (s, y), (curvature, alpha) in zip(pairs, reversed(used), strict=True):
            q.add_(s, alpha=alpha - torch.dot(y, q).item() / curvature)
        return -q.view_as(gradient)

    def state(self) -> dict[str, Tensor]:
        found = {f"step.{i}": s for i, s in enumerate(self.steps)}
        found |= {f"change.{i}": y for i, y in enumerate(self.changes)}
        if self.at is not None and self.gradient is not None:
            found |= {"at": self.at, "gradient": self.gradient}
        numbers = torch.tensor([self.loss, self.shrunk], dtype=torch.float64)
        return found | {"numbers": numbers}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        count = sum(name.startswith("step.") for name in state)
        self.steps = [state[f"step.{i}"] for i in range(count)]
        self.changes = [state[f"change.{i}"] for i in range(count)]
        self.at, self.gradient = state.get("at"), state.get("gradient")
        self.loss, self.shrunk = float(state["numbers"][0]), int(state["numbers"][1])


class Adam:
    """Adam (Kingma & Ba 2015), for comparison with other programs; slower than L-BFGS here.

    Args:
        rate: the step, in logits.
    """

    def __init__(self, rate: float = 0.08) -> None:
        self.rate = rate
        self.x: Tensor | None = None
        self.saved: Mapping[str, Tensor] = {}
        self.optimizer: torch.optim.Adam | None = None

    def step(self, x: Tensor, loss: float, gradient: Tensor) -> Tensor:
        if self.optimizer is None:
            self.x = x.clone()
            self.optimizer = torch.optim.Adam([self.x], lr=self.rate, betas=(0.9, 0.99))
            if self.saved:
                self.optimizer.state[self.x] = dict(self.saved)
        assert self.x is not None
        self.x.grad = gradient
        self.optimizer.step()
        return self.x.detach().clone()

    def state(self) -> dict[str, Tensor]:
        if self.optimizer is None or self.x is None:
            return dict(self.saved)  # stopped again before it went on
        return dict(self.optimizer.state[self.x])

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.saved = state


def _rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt().clamp_min(1e-30)


def _at_most(step: Tensor, rms: float) -> Tensor:
    return step * (rms / _rms(step)).clamp_max(1)
