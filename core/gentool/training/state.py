"""An optimizer's state as tensors by name, so that checkpoints need no pickle."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def optimizer_state(
    optimizer: torch.optim.Optimizer, prefix: str = "optimizer"
) -> dict[str, Tensor]:
    """An optimizer's per-parameter state as tensors by name, for :meth:`Trainer.state`."""
    found: dict[str, Tensor] = {}
    for index, slots in optimizer.state_dict()["state"].items():
        for slot, value in slots.items():
            found[f"{prefix}.{index}.{slot}"] = torch.as_tensor(value)
    return found


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor], prefix: str = "optimizer"
) -> None:
    """Take back what :func:`optimizer_state` gave."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name.startswith(f"{prefix}."):
            _, index, slot = name.rsplit(".", 2)
            slots.setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict(
        {"state": slots, "param_groups": optimizer.state_dict()["param_groups"]}
    )
