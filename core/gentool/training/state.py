"""Everything that a resumed training needs, as tensors by name: checkpoints need no pickle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gentool.errors import TrainingError
from gentool.training.average import Average
from gentool.training.update import Update

if TYPE_CHECKING:
    from gentool.protocols import Trainer


def networks(trainer: Trainer) -> dict[str, nn.Module]:
    """Every network of a trainer by name: the model's, and what else its updates train.

    Raises:
        TrainingError: two networks share a name.
    """
    found: dict[str, nn.Module] = {}
    for named in (trainer.model.networks, *(update.networks for update in trainer.updates)):
        for name, net in named.items():
            if found.setdefault(name, net) is not net:
                raise TrainingError(f"two networks of the trainer are called '{name}'")
    return found


def check_kept(trainer: Trainer) -> None:
    """Make sure that what optimizers change is kept with the networks.

    Raises:
        TrainingError: an optimizer has parameters of no network.
    """
    kept = {id(p) for net in networks(trainer).values() for p in net.parameters()}
    for update in trainer.updates:
        learned = [p for group in update.optimizer.param_groups for p in group["params"]]
        if any(id(p) not in kept for p in learned):
            raise TrainingError(
                f"the optimizer of the update '{update.name}' changes parameters of no network, "
                "which no checkpoint would have; put what learns into the update's networks"
            )


class Groups:
    """What optimizers change in their parameter groups as they go: a count, Prodigy's distance.

    What they leave as it was is the trainer's to say, also on resume; rates are the schedule's.

    Args:
        updates: a trainer's, as it made them.
    """

    def __init__(self, updates: Sequence[Update]) -> None:
        self.updates, self._at_first = updates, self._now(updates)

    def changed(self) -> list[list[dict[str, Any]]]:
        """By update and group, as JSON."""
        return [
            [
                {name: value for name, value in group.items() if before.get(name) != value}
                for group, before in zip(groups, those_before, strict=True)
            ]
            for groups, those_before in zip(self._now(self.updates), self._at_first, strict=True)
        ]

    def restore(self, kept: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        """Take back what :meth:`changed` gave."""
        for update, groups in zip(self.updates, kept, strict=False):  # none in older checkpoints
            for group, changes in zip(update.optimizer.param_groups, groups, strict=False):
                group.update(changes)

    @staticmethod
    def _now(updates: Sequence[Update]) -> list[list[dict[str, Any]]]:
        return [[_plain(g) for g in update.optimizer.param_groups] for update in updates]


def _plain(group: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers and words of a group, which may be tensors of one value."""
    named = {
        name: value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        for name, value in group.items()
        if name not in ("params", "lr")
    }
    return {name: v for name, v in named.items() if isinstance(v, int | float | str | None)}


def collect(trainer: Trainer, average: Average) -> dict[str, Tensor]:
    """Networks, optimizers, moving average, and what the trainer adds."""
    nets = {
        f"net.{name}.{key}": tensor
        for name, net in networks(trainer).items()
        for key, tensor in net.state_dict().items()
    }
    optimizers = {
        f"optimizer.{number}.{index}.{slot}": torch.as_tensor(value)
        for number, update in enumerate(trainer.updates)
        for index, slots in update.optimizer.state_dict()["state"].items()
        for slot, value in slots.items()
    }
    averages = {f"average.{name}": tensor for name, tensor in average.state().items()}
    return nets | optimizers | averages | {f"own.{n}": t for n, t in trainer.state().items()}


def restore(trainer: Trainer, average: Average, state: Mapping[str, Tensor]) -> None:
    """Take back what :func:`collect` gave."""
    for name, net in networks(trainer).items():
        net.load_state_dict(dict(_part(state, f"net.{name}.")))
    _restore_optimizers(trainer.updates, state)
    average.load_state(dict(_part(state, "average.")))
    trainer.load_state(dict(_part(state, "own.")))


@torch.no_grad()
def _restore_optimizers(updates: Sequence[Update], state: Mapping[str, Tensor]) -> None:
    for number, update in enumerate(updates):
        slots: defaultdict[int, dict[str, Tensor]] = defaultdict(dict)
        learned = [p for group in update.optimizer.param_groups for p in group["params"]]
        for name, value in _part(state, f"optimizer.{number}."):
            index, _, slot = name.partition(".")
            like = learned[int(index)]
            if value.dim() and value.shape == like.shape:
                # lies in memory as it did, or steps become slower
                slots[int(index)][slot] = torch.empty_like(like, dtype=value.dtype).copy_(value)
            else:
                slots[int(index)][slot] = value.clone()  # Windows removes no file that is in use
        groups = update.optimizer.state_dict()["param_groups"]
        update.optimizer.load_state_dict({"state": dict(slots), "param_groups": groups})


def _part(state: Mapping[str, Tensor], prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in state.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), tensor
