"""Is the game still a game? Warnings in one line when one side has won or modes collapse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from gentool.training import Moment, Setup, Update

EVERY = 100  # steps between looks: reading a figure waits for the GPU
MEMORY = 0.98  # share of the running means that is kept at each step
PATIENCE = 5  # looks in a row that must be bad
WON = 0.99  # share of pictures that the discriminator tells right
COLLAPSED = 0.25  # spread of the generated pictures, of that of the real ones
LOST_RECALL = 0.02
EXPLODED = 100.0  # times the usual gradient


class Health:
    """Running figures of a training, and what they mean.

    Args:
        setup: whose ``note`` is told.
        updates: of both networks, whose gradients are watched.
    """

    def __init__(self, setup: Setup, updates: Iterable[Update]) -> None:
        self.note = setup.note
        names = ("real", "fake", "spread")
        self.means = dict.fromkeys(names, torch.zeros((), device=setup.device))
        self.seen = torch.zeros((), dtype=torch.int64)
        self.step = 0
        self.usual: dict[str, Tensor] = {}  # gradient norms
        for update in updates:
            self.usual[update.name] = torch.zeros(())
            # here the gradients of all accumulated batches are there, once a step
            update.optimizer.register_step_pre_hook(
                lambda optimizer, *_, name=update.name: self._look_at(name, optimizer)
            )
        self.bad: dict[str, int] = {}  # looks in a row, by ailment
        self.best_recall = 0.0  # of the validations so far

    def watch(self, moment: Moment, terms: Mapping[str, Tensor]) -> None:
        """Take in the discriminator's terms of one batch.

        Args:
            moment: when.
            terms: ``real`` and ``fake``, the shares told right, and ``spread``, 1 being that of
                real pictures.
        """
        self.seen += 1
        kept = min(MEMORY, 1 - 1 / int(self.seen))
        for name, mean in self.means.items():
            self.means[name] = torch.lerp(terms[name].detach(), mean, kept)
        self.step = moment.step

    def _look_at(self, name: str, optimizer: Optimizer) -> None:
        """Look at one network before its weights change, and at the figures with the first."""
        step = self.step + 1
        if step % EVERY:
            return
        if name == "discriminator":
            self._look_at_figures(step)
        norm, usual = _gradient(optimizer), self.usual[name].item()
        self._say(
            bool(usual) and norm > EXPLODED * usual,
            f"{name} exploded",
            f"step {step}: the {name}'s gradient is {norm:.3g}, usually {usual:.3g}: the "
            "training diverges; lower its rate or give --clip",
            patience=1,
        )
        self.usual[name] = torch.tensor(usual + (norm - usual) / 10 if usual else norm)

    def _look_at_figures(self, step: int) -> None:
        right = min(self.means[name].item() for name in ("real", "fake"))
        variety = self.means["spread"].item()
        self._say(
            right > WON,
            "won",
            f"step {step}: the discriminator tells {right:.1%} of all pictures right, so the "
            "generator learns little; more data or --augment, a lower --discriminator-rate, or "
            "--r1 help",
        )
        self._say(
            variety < COLLAPSED,
            "collapsed",
            f"step {step}: mode collapse: generated pictures differ from one another by only "
            f"{variety:.0%} of what real ones do; the last previews show since when; start anew "
            "with lower rates, --r1 or another --loss",
        )

    def check_recall(self, recall: float) -> None:
        """Take in a validation's recall, 0..1."""
        self.best_recall = max(self.best_recall, recall)
        lost = recall < max(LOST_RECALL, self.best_recall / 4)
        self._say(
            lost and self.best_recall > 2 * LOST_RECALL,
            "recall",
            f"recall has fallen to {recall:.1%} from {self.best_recall:.1%}: generated pictures "
            "cover ever less of the data (mode collapse); best.safetensors is from before",
            patience=1,
        )

    def _say(self, bad: bool, ailment: str, text: str, patience: int = PATIENCE) -> None:
        """Tell once, when it has been bad for a while; again only after it was well."""
        self.bad[ailment] = self.bad.get(ailment, 0) + 1 if bad else 0
        if self.bad[ailment] == patience:
            self.note(f"warning: {text}")

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        means = {f"health.{name}": mean for name, mean in self.means.items()}
        usual = {f"health.{name} gradient": norm for name, norm in self.usual.items()}
        rest = {"health.seen": self.seen, "health.recall": torch.tensor(self.best_recall)}
        return means | usual | rest

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
        for name, mean in self.means.items():
            self.means[name] = state[f"health.{name}"].to(mean.device)
        for name in self.usual:
            self.usual[name] = state[f"health.{name} gradient"].cpu()
        self.seen = state["health.seen"].cpu()
        self.best_recall = float(state["health.recall"])


def spread(pictures: Tensor) -> Tensor:
    """How much pictures (N,3,S,S) differ: the root of the mean variance of their 8x8 versions."""
    small = F.adaptive_avg_pool2d(pictures.detach().float(), 8)
    return small.var(0).mean().sqrt() if len(small) > 1 else small.new_ones(())


def relative_spread(fake: Tensor, real: Tensor) -> Tensor:
    """Spread of generated pictures, 1 being that of real ones."""
    # real ones of a batch may be all alike
    return (spread(fake) / spread(real).clamp_min(1e-6)).clamp_max(10)


def _gradient(optimizer: Optimizer) -> float:
    """Norm of all gradients, as they were clipped."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return float(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
