"""The loop that drives any Trainer, and the pictures it is fed."""

from gentool.training.data import Pictures, prefetch, random_crop
from gentool.training.loop import Plan, fit

__all__ = ["Pictures", "Plan", "fit", "prefetch", "random_crop"]
