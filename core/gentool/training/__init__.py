"""The engine: one loop for every method, from a laptop to many GPUs.

Names are imported when they are first used, so that the flags of ``gentool train`` need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "checkpoint": ("take_network",),
    "data.batch": ("Batch",),
    "data.pictures": ("Pictures", "held_out", "sample_held_out"),
    "data.transforms": ("Fit", "ScaleCrop"),
    "display": ("Display", "Record"),
    "distributed": ("Group",),
    "loop": ("fit",),
    "plan": ("Plan",),
    "session": ("train",),
    "setup": ("Setup",),
    "update": ("Moment", "Update"),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Batch",
    "Display",
    "Fit",
    "Group",
    "Moment",
    "Pictures",
    "Plan",
    "Record",
    "ScaleCrop",
    "Setup",
    "Update",
    "fit",
    "held_out",
    "sample_held_out",
    "take_network",
    "train",
]

if TYPE_CHECKING:
    from gentool.training.checkpoint import take_network
    from gentool.training.data.batch import Batch
    from gentool.training.data.pictures import Pictures, held_out, sample_held_out
    from gentool.training.data.transforms import Fit, ScaleCrop
    from gentool.training.display import Display, Record
    from gentool.training.distributed import Group
    from gentool.training.loop import fit
    from gentool.training.plan import Plan
    from gentool.training.session import train
    from gentool.training.setup import Setup
    from gentool.training.update import Moment, Update


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"gentool.training.{_HOME[name]}"), name)
    raise AttributeError(f"module 'gentool.training' has no attribute '{name}'")
