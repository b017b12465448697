"""Which symbols are written: rate-distortion optimised quantisation (Karczewicz et al. 2008).

A symbol is the nearest whole number or the next towards what the entropy model expects, whichever
is worth its bits. :func:`gentool_cnn_ae.coder.encode` chooses one part after another, exactly;
here is what it does it by, and nearly the same for training, all parts at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gentool_cnn_ae.nets import CnnAe, lambdas
from gentool_cnn_ae.prior import bits

# times what an error costs by itself: one also misleads the contexts of others. Measured
WORTH = 2.5


def price(gains: Tensor, levels: Tensor) -> Tensor:
    """Bits that a squared error of 1 in a symbol is worth, (N,latents,1,1).

    Args:
        gains: (N,latents,1,1), of these qualities.
        levels: (N,) qualities from 0.
    """
    # for the mean over three colours, of latents in units of 16 grey levels
    worth = lambdas().to(gains)[levels] / 3 * WORTH
    return worth[:, None, None, None] * (16 / gains) ** 2


@torch.no_grad()
def chosen(model: CnnAe, wanted: Tensor, levels: Tensor) -> Tensor:
    """Whole symbols (N,latents,h,w) for what they should be, nearly as files have them.

    The entropy model expects what it would if the nearest were taken everywhere.
    """
    symbols = wanted.round()
    means, scales = model.prior(symbols, levels)
    nearer = symbols - (symbols - means.round()).sign()
    lost = (wanted - nearer).square() - (wanted - symbols).square()
    saved = bits(symbols, means, scales) - bits(nearer, means, scales)
    return torch.where(saved > price(model.gains(levels), levels) * lost, nearer, symbols)
