"""Which samples a process sees when: without repetition, without padding, resumable."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gentool.errors import TrainingError
from gentool.training.data.batch import Draw
from gentool.training.distributed import Group
from gentool.training.seeds import derive


@dataclass
class Order:
    """The batches of one process, by number.

    Every pass over the set is a new permutation, cut into global batches (all processes, all
    accumulated gradients); a remainder smaller than one is dropped. Two processes with batches
    of 8 see together what one with batches of 16 sees.

    Args:
        count: samples in the set.
        batch_size: samples in a batch of one process.
        accumulate: batches a step.
        group: the processes.
        seed: of the permutations.
        mirror: as in :class:`Draw`.
        what: the set is called in messages.

    Raises:
        TrainingError: the set is smaller than one global batch.
    """

    count: int
    batch_size: int
    accumulate: int
    group: Group
    seed: int
    mirror: bool = True
    what: str = "the set"

    def __post_init__(self) -> None:
        together = self.batch_size * self.group.size
        self.in_step = together * self.accumulate
        if self.count < self.in_step:
            one = f"one batch of {self.batch_size}"
            if self.in_step != self.batch_size:
                one = f"one step of {self.in_step} ({one}, {self.accumulate} accumulated, "
                one += f"on {self.group.size} devices)"
            fitting = self.count // (self.in_step // self.batch_size)
            remedy = f"take --batch-size {fitting} or fewer, or " if fitting > 1 else ""
            has = f"{self.count} picture{'s' * (self.count != 1)}"
            raise TrainingError(
                f"{self.what} has {has} to learn from, fewer than {one}; {remedy}give more "
                "pictures (one in sixteen is kept for validation)"
            )
        self.per_epoch = self.count // self.in_step * self.accumulate
        self._epoch, self._permutation = -1, torch.empty(0)

    def __call__(self, number: int) -> Draw:
        """The batch of that number, from 0."""
        epoch, within = divmod(number, self.per_epoch)
        seed = derive(self.seed, "epoch", epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(seed)
            self._epoch = epoch
            self._permutation = torch.randperm(self.count, generator=generator)
        start = (within * self.group.size + self.group.rank) * self.batch_size
        return Draw(self._permutation[start : start + self.batch_size].tolist(), seed, self.mirror)
