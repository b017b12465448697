"""What the two networks play for, of logits: positive means real."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Game(NamedTuple):
    """The two sides of a loss; each takes logits (N,) of real and of generated pictures."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]


GAMES = {
    # Goodfellow et al. 2014, non-saturating: binary cross-entropy of the logits
    "bce": Game(
        lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
        lambda _, fake: F.softplus(-fake).mean(),
    ),
    # Lim & Ye 2017, Miyato et al. 2018
    "hinge": Game(
        lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        lambda _, fake: -fake.mean(),
    ),
    # Jolicoeur-Martineau 2018, eq. 3 and 4: each picture against one of the other kind
    "relativistic": Game(
        lambda real, fake: F.softplus(fake - real).mean(),
        lambda real, fake: F.softplus(real - fake).mean(),
    ),
}


def r1(pictures: Tensor, logits: Tensor) -> Tensor:
    """Half the mean squared norm of the gradient at real pictures (Mescheder et al. 2018, eq. 9).

    Args:
        pictures: (N,3,S,S) that the logits were computed from, requiring a gradient.
        logits: (N,).
    """
    (gradient,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean() / 2
