"""One optimisation: evaluations until a rule or Ctrl-C stops it, and its state in a file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from gentool import GentoolError
from gentool.weights import read_header, read_tensors, write_tensors
from gentool_gatys.minimize import Minimizer

WINDOW = 20  # evaluations over which the relative improvement is judged
DARKEST = 2 / 255  # pure black and white have no slope in logits; start a little inside


class Loss(Protocol):
    """Named terms with their ``total``, and its gradient, of a picture (1,3,H,W)."""

    def __call__(self, image: Tensor) -> tuple[dict[str, float], Tensor]: ...
    def terms(self, image: Tensor) -> dict[str, float]: ...
    def halve_tiles(self) -> bool: ...


class Run:
    """Minimises over the logits of a picture, which keeps it inside 0..1.

    So the loss that is shown is that of the picture that is written, up to rounding to 8 bits;
    minimised over pixels and clamped in the end, it is not.

    Args:
        loss: what to minimise.
        start: (1,3,H,W) in 0..1.
        minimizer: how to go downhill.
        steps: most evaluations.
        tolerance: stop when WINDOW of them improve the best loss by a smaller share.

    Attributes:
        curve: the terms of every evaluation.
        finished: whether a rule did.
    """

    def __init__(
        self,
        loss: Loss,
        start: Tensor,
        minimizer: Minimizer,
        steps: int,
        tolerance: float = 0.0,
    ) -> None:
        self.loss, self.minimizer = loss, minimizer
        self.steps, self.tolerance = steps, tolerance
        self.logits = torch.logit(start.clamp(DARKEST, 1 - DARKEST)).contiguous()
        self.best, self.best_loss = self.logits, math.inf
        self.curve: list[dict[str, float]] = []

    @property
    def picture(self) -> Tensor:
        """The best picture so far, (1,3,H,W) in 0..1."""
        return torch.sigmoid(self.best)

    @property
    def finished(self) -> bool:
        if len(self.curve) >= self.steps:
            return True
        totals = [terms["total"] for terms in self.curve]
        if len(totals) < 2 * WINDOW:
            return False
        before, now = min(totals[:-WINDOW]), min(totals[-WINDOW:])
        return now > before * (1 - self.tolerance)

    def advance(
        self,
        evaluations: int,
        show: Callable[[int, str], None] = lambda _done, _words: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Go on for so many evaluations, or less if it finishes.

        Args:
            evaluations: most of them.
            show: told of each, by number and in words.
            stop: asked before each whether to stop.

        Raises:
            GentoolError: the loss is not finite from the start.
        """
        for _ in range(evaluations):
            if self.finished or stop():
                return
            self._once()
            show(len(self.curve), _words(self.curve[-1]))

    def _once(self) -> None:
        picture = torch.sigmoid(self.logits)
        terms, gradient = self.loss(picture)
        total = terms["total"]
        if not self.curve and not math.isfinite(total):
            raise GentoolError("the loss is not finite; try --precision fp32 or smaller weights")
        slope = gradient * picture * (1 - picture)
        following = self.minimizer.step(self.logits, total, slope.contiguous())
        if total < self.best_loss:
            self.best, self.best_loss = self.logits, total
        self.curve.append(terms)
        self.logits = following

    def save(self, path: Path, **facts: str) -> None:
        """Write everything that :meth:`load` needs."""
        tensors = {"logits": self.logits, "best": self.best}
        tensors |= {f"minimizer.{n}": t for n, t in self.minimizer.state().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = {n: t.detach().cpu().clone().contiguous() for n, t in tensors.items()}
        write_tensors(path, packed, facts | {"curve": json.dumps(self.curve)})

    def load(self, path: Path) -> None:
        """Go back to what :meth:`save` wrote.

        Raises:
            WeightsError: the file is damaged.
        """
        device = self.logits.device
        # Numbers stay on the CPU: float64 is not known everywhere. Copies, because sums depend on
        # where in memory a tensor begins, which in the file is anywhere.
        tensors = {
            n: t if t.dim() < 2 else t.to(device, copy=True) for n, t in read_tensors(path).items()
        }
        self.logits, self.best = tensors.pop("logits"), tensors.pop("best")
        self.minimizer.load_state({n.removeprefix("minimizer."): t for n, t in tensors.items()})
        self.curve = json.loads(read_header(path).metadata["curve"])
        self.best_loss = min((terms["total"] for terms in self.curve), default=math.inf)


def _words(terms: Mapping[str, float]) -> str:
    """``content 0.88 style 0.153``."""
    return " ".join(f"{name} {value:.3g}" for name, value in terms.items())
