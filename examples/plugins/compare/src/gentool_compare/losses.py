"""A loss on edges: what mean square error blurs, it sees."""

from __future__ import annotations

from torch import Tensor


class GradientDifference:
    """Gradient difference loss (Mathieu, Couprie & LeCun 2016, eq. 6).

    Args:
        power: the paper's alpha.
    """

    def __init__(self, power: float = 1.0) -> None:
        self.power = power

    def __call__(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Term ``gradient-difference``; both sides (N,C,H,W) in any unit."""
        p, t = prediction.float(), target.float()
        terms = [
            ((p.diff(dim=axis).abs() - t.diff(dim=axis).abs()).abs() ** self.power).mean()
            for axis in (-1, -2)
        ]
        return {"gradient-difference": terms[0] + terms[1]}
