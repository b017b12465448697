"""What the engine gives a trainer to build itself with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from gentool.compute import Compute, Net
from gentool.progress import silent
from gentool.training.distributed import Group
from gentool.training.plan import Plan

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Setup:
    """Device, precision and settings of one training.

    Attributes:
        plan: what was asked for: ``plan.data``, ``plan.batch_size`` ...
        compute: device and precision.
        group: the processes that train together.
        note: tells the user something, in one line.
        continues: whether ``--weights`` or ``--resume`` will fill the networks once the trainer is
            built.
    """

    plan: Plan
    compute: Compute
    group: Group = field(default_factory=Group)
    note: Callable[[str], None] = field(default=silent)
    continues: bool = False

    @property
    def device(self) -> torch.device:
        return self.compute.device

    @property
    def layout(self) -> torch.memory_format:
        """How pictures and features lie in memory."""
        return self.compute.layout if self.plan.channels_last else torch.contiguous_format

    def place(self, net: Net) -> Net:
        """Move a network to the device, in the memory layout asked for."""
        return self.compute.place(net, self.plan.channels_last)

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """Run the body's convolutions and matrix products in the precision asked for.

        Put it around networks only: statistics and losses want float32.
        """
        return self.compute.autocast()

    def compile(self, function: Function) -> Function:
        """``torch.compile`` of a function or network if ``--compile`` asks for it."""
        compiled: Any = torch.compile(function) if self.plan.compile else function
        return compiled  # type: ignore[no-any-return]
