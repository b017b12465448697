"""One optimizer's part of a training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class Moment:
    """Where in the training a loss is computed.

    Attributes:
        step: steps that are done, from 0.
        share: part of the training that is done, 0..1, for schedules.
    """

    step: int
    share: float


Loss = Callable[..., tuple[Tensor, Mapping[str, Tensor]]]
"""``loss(moment, *batches) -> (total, terms)``: the scalar whose gradient is taken, and named
scalars for the log, all float32. ``batches`` has one for each of the trainer's data sets."""


@dataclass(frozen=True)
class Update:
    """Which networks learn, by which optimizer, from which loss.

    A step does a trainer's updates in order: a GAN has one for the discriminator and one for
    the generator. Networks of other updates are frozen meanwhile.

    Attributes:
        networks: what learns, by name; the same name is the same network in every update.
        optimizer: of their parameters; its learning rates are the highest of the schedule.
        loss: what is minimised.
        every: do this update only in every so many steps.
        name: in the log, where there are several updates.
    """

    networks: Mapping[str, nn.Module]
    optimizer: Optimizer
    loss: Loss
    every: int = 1
    name: str = ""

    def parameters(self) -> list[Any]:
        """Parameters that learn: those of the networks that were not frozen by the trainer."""
        return [p for net in self.networks.values() for p in net.parameters() if p.requires_grad]
