"""The loop that drives any Trainer, and the pictures it is fed."""

from gentool.training.data import Pictures, prefetch, random_crop
from gentool.training.loop import Plan, fit
from gentool.training.state import load_optimizer_state, optimizer_state

__all__ = [
    "Pictures",
    "Plan",
    "fit",
    "load_optimizer_state",
    "optimizer_state",
    "prefetch",
    "random_crop",
]
