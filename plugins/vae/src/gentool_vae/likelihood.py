"""The two sides of the evidence lower bound: likelihoods of bytes, and the KL divergence."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool_vae.nets import Decoded, Posterior

BIN = 1 / 255  # pictures of bytes in 0..1 have this between neighbours


def optimal_gaussian(mean: Tensor, pictures: Tensor) -> Tensor:
    """Negative log-likelihood under a Gaussian whose deviation is the best one for this batch.

    Nats a picture, up to a constant: of n values whose mean squared error is v, (n/2) log v
    (Rybkin et al. 2021, "Simple and Effective VAE Training with Calibrated Decoders", eq. 7).
    """
    error = (mean - pictures).square().mean()
    return pictures[0].numel() / 2 * error.clamp_min(1e-8).log()


def discretised_logistic(mean: Tensor, log_scale: Tensor, pictures: Tensor) -> Tensor:
    """Negative log-probability of the bytes (PixelCNN++, Salimans et al. 2017, eq. 2).

    Args:
        mean: (N,3,H,W), 0..1.
        log_scale: the same shape, natural logarithm of the scale in units of 0..1.
        pictures: (N,3,H,W), multiples of 1/255; the first and last bin reach to infinity.

    Returns:
        (N,) nats, summed over all values.
    """
    width = BIN * (-log_scale).exp()
    centre = (pictures - mean) * (-log_scale).exp()
    above, below = centre + width / 2, centre - width / 2
    # log(s(a) - s(b)) = log s(a) + log s(-b) + log(1 - exp(b - a)), exact in the tails as well
    upper, lower = F.logsigmoid(above), F.logsigmoid(-below)
    within = upper + lower + torch.log(-torch.expm1(-width))
    chance = torch.where(pictures < BIN / 2, upper, within)
    chance = torch.where(pictures > 1 - BIN / 2, lower, chance)
    return -chance.flatten(1).sum(1)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of diagonal Gaussians from N(0, I), each latent apart: (N,D) nats
    (Kingma & Welling 2014, appendix B).
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def negative_bound(decoded: Decoded, posterior: Posterior, pictures: Tensor) -> Tensor:
    """Negative evidence lower bound of pictures (N,3,H,W), by a draw each: (N,) nats.

    Args:
        decoded: of a draw from the posterior.
        posterior: of the pictures.
        pictures: multiples of 1/255.
    """
    own = discretised_logistic(decoded.mean, decoded.log_scale, pictures)
    return own + divergence(*posterior).sum(1)


def bits_per_dimension(nats: Tensor, pictures: Tensor) -> Tensor:
    """Nats a picture as bits for each of its values."""
    return nats / (pictures[0].numel() * math.log(2))
