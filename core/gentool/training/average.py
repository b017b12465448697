"""The moving average of a model's weights, which is what is saved and shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gentool.protocols import Model


class Average:
    """Exponential moving average of a model's networks.

    Args:
        model: whose networks.
        decay: share of the average that is kept at each step; 0 follows the networks.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        self._live = {
            f"{prefix}.{name}": tensor
            for prefix, net in model.networks.items()
            for name, tensor in net.state_dict().items()
        }
        self._mean = {name: tensor.clone() for name, tensor in self._live.items()}
        floats = [name for name, tensor in self._live.items() if tensor.is_floating_point()]
        self._floats = [self._mean[n] for n in floats], [self._live[n] for n in floats]
        self._others = [name for name in self._live if name not in floats]  # counters and the like

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the networks' state after ``step`` steps; early steps weigh more."""
        decay = min(self.decay, step / (step + 9))
        average: Any = get_ema_multi_avg_fn
        average(decay)(*self._floats, step)
        for name in self._others:
            self._mean[name].copy_(self._live[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The networks hold the average inside the body, and gradients are off."""
        with torch.no_grad():
            kept = {name: tensor.clone() for name, tensor in self._live.items()}
            try:
                self._copy(self._mean, self._live)
                yield
            finally:
                self._copy(kept, self._live)

    def state(self) -> Mapping[str, Tensor]:
        """The averages by name."""
        return self._mean

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
        self._copy(state, self._mean)

    @staticmethod
    def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
        for name, tensor in target.items():
            tensor.copy_(source[name])
