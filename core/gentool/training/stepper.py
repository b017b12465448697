"""One training step: gradients of every update, over accumulated batches and all processes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gentool.errors import TrainingError
from gentool.training.setup import Setup
from gentool.training.update import Loss, Moment, Update


class _Computation(nn.Module):
    """A loss as the forward pass of the networks that learn, which is what DDP wraps."""

    def __init__(self, networks: Mapping[str, nn.Module], loss: Loss) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)
        self.loss = loss

    def forward(self, moment: Moment, batches: Sequence[Any]) -> tuple[Tensor, Any]:
        return self.loss(moment, *batches)


class Stepper:
    """Does what all trainers have in common in a step.

    Args:
        updates: the trainer's.
        setup: how to compute.

    Raises:
        TrainingError: several updates have no names of their own.
    """

    def __init__(self, updates: Sequence[Update], setup: Setup) -> None:
        self.updates, self.plan = updates, setup.plan
        names = [update.name for update in updates]
        if len(names) > 1 and (not all(names) or len(set(names)) < len(names)):
            raise TrainingError(f"several updates need a name each, but they have {names}")
        self.scaler = torch.amp.GradScaler(
            setup.device.type, enabled=setup.compute.dtype == torch.float16
        )
        self._rates = [[g["lr"] for g in u.optimizer.param_groups] for u in updates]
        self._parameters = [_learned(u) for u in updates]
        self._computations: list[nn.Module] = [_Computation(u.networks, u.loss) for u in updates]
        if setup.group.size > 1:
            ids = [setup.device.index] if setup.device.type == "cuda" else None
            self._computations = [
                DistributedDataParallel(c, device_ids=ids) for c in self._computations
            ]

    def __call__(self, moment: Moment, batches: Sequence[Sequence[Any]]) -> dict[str, Tensor]:
        """One step.

        Args:
            moment: where in the training.
            batches: ``accumulate`` times one batch of each data set.

        Returns:
            Named scalars, detached; not yet waited for on a GPU.
        """
        scalars: dict[str, Tensor] = {}
        rate = self.rate(moment)
        due = [i for i, update in enumerate(self.updates) if moment.step % update.every == 0]
        for number in due:
            self._freeze_others(number)
            found = self._update(number, rate, moment, batches)
            prefix = f"{self.updates[number].name} " if len(self.updates) > 1 else ""
            scalars |= {prefix + name: value for name, value in found.items()}
        if due and self.scaler.is_enabled():
            self.scaler.update()
        return scalars

    def _update(
        self, number: int, rate: float, moment: Moment, batches: Sequence[Sequence[Any]]
    ) -> dict[str, Tensor]:
        update, computation = self.updates[number], self._computations[number]
        for group, base in zip(update.optimizer.param_groups, self._rates[number], strict=True):
            group["lr"] = base * rate
        update.optimizer.zero_grad()
        scalars: dict[str, Tensor] = {}
        for i, several in enumerate(batches):
            last = i == len(batches) - 1
            with contextlib.nullcontext() if last else _alone(computation):
                total, terms = computation(moment, several)
                if {"loss", "gradient"} & terms.keys():
                    raise TrainingError("'loss' and 'gradient' are the engine's; rename the term")
                self.scaler.scale(total / len(batches)).backward()
            for name, value in {"loss": total, **terms}.items():
                mean = torch.as_tensor(value).detach() / len(batches)
                scalars[name] = scalars[name] + mean if name in scalars else mean
        self.scaler.unscale_(update.optimizer)
        scalars["gradient"] = self._clip(self._parameters[number])
        self.scaler.step(update.optimizer)
        return scalars

    def _clip(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """The norm of the gradients before they are clipped."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.plan.clip:
            nn.utils.clip_grads_with_norm_(parameters, self.plan.clip, norm)
        if self.scaler.is_enabled():  # fp16 overflows now and then, and the step is skipped
            norm = norm.nan_to_num(nan=0.0, posinf=0.0)
        return norm

    def _freeze_others(self, number: int) -> None:
        if len(self.updates) > 1:
            mine = {id(p) for p in self._parameters[number]}
            for parameter in (p for several in self._parameters for p in several):
                parameter.requires_grad_(id(parameter) in mine)

    def rate(self, moment: Moment) -> float:
        """Share of the highest learning rate."""
        plan = self.plan
        falling = {
            "constant": 1.0,
            "linear": 1 - moment.share,
            "cosine": (1 + math.cos(math.pi * moment.share)) / 2,
        }[plan.lr_schedule]
        if plan.lr_schedule != "constant":
            falling = plan.lr_final + (1 - plan.lr_final) * falling
        return falling * min(1.0, (moment.step + 1) / (plan.lr_warmup + 1))


def _learned(update: Update) -> list[nn.Parameter]:
    """What the optimizer changes; the gradients of the rest are nobody's."""
    owned = {id(p) for group in update.optimizer.param_groups for p in group["params"]}
    return [p for p in update.parameters() if id(p) in owned]


def _alone(computation: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Keep gradients in this process until the last accumulated batch."""
    if isinstance(computation, DistributedDataParallel):
        return computation.no_sync()
    return contextlib.nullcontext()
