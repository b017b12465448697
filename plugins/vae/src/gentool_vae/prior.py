"""Which latents there are: a mixture of Gaussians, fitted to the encoder's latents.

A density that is fitted once the encoder stands makes better samples than N(0, I), which the bound
pulls towards and does not reach (Ghosh et al. 2020, "From Variational to Deterministic
Autoencoders", arXiv:1903.12436, section 4).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLUSTERING, FITTING = 10, 15  # rounds: k-means hardly moves after the one, the likelihood the other
PULL = 200  # latents that the covariance of all of them counts for in each component's own
RIDGE = 1e-3  # variance in every direction; latents' own uncertainty is ten times as much


class Prior(nn.Module):
    """``components`` Gaussians over latents (D,); a single N(0, I) until they are fitted.

    Nothing in here is learned by gradients.
    """

    shares: Tensor  # (K,), sum 1
    means: Tensor  # (K,D)
    factors: Tensor  # (K,D,D), lower triangular: times their own transpose, the covariances

    def __init__(self, latent: int, components: int) -> None:
        super().__init__()
        self.register_buffer("shares", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, latent))
        self.register_buffer("factors", torch.eye(latent).repeat(components, 1, 1))

    def forward(self, chance: Tensor, noise: Tensor) -> Tensor:
        """Latents (N,D), of numbers (N,) from 0 to 1 that choose a Gaussian, and noise (N,D)."""
        last = len(self.shares) - 1
        chosen = torch.searchsorted(self.shares.cumsum(0), chance).clamp_max(last)
        latents = torch.empty_like(noise)
        for number in set(chosen.tolist()):  # a factor for each latent would be (N,D,D)
            own = chosen == number
            latents[own] = self.means[number] + noise[own] @ self.factors[number].T
        return latents

    @torch.no_grad()
    def fit(self, latents: Tensor) -> None:
        """Take in what latents (N,D) there are, by expectation and maximisation on the CPU.

        It begins with clusters of PyTorch's global generator. Each covariance is drawn towards that
        of all latents, the more the fewer a Gaussian has. Latents that are not finite change
        nothing.
        """
        x = latents.cpu().double()  # of a wide range, covariances in float32 have no factor
        if not x.isfinite().all():
            return
        whole = _covariance(x - x.mean(0), x.new_ones(len(x)))
        belongs = F.one_hot(_clusters(x, len(self.shares)), len(self.shares)).double()
        for _ in range(FITTING):
            found = _maximise(x, belongs, whole)
            belongs = _log_densities(x, *found).softmax(1)
        for kept, fitted in zip((self.shares, self.means, self.factors), found, strict=True):
            kept.copy_(fitted)


def _clusters(x: Tensor, count: int) -> Tensor:
    """Which cluster each of (N,D) is in, (N,): k-means from some of them."""
    centres = x[torch.randint(len(x), (count,))]
    for _ in range(CLUSTERING):
        nearest = torch.cdist(x, centres).argmin(1)
        for number in set(nearest.tolist()):
            centres[number] = x[nearest == number].mean(0)
    return nearest


def _maximise(x: Tensor, belongs: Tensor, whole: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shares (K,), means (K,D) and factors (K,D,D) of latents that belong (N,K) to Gaussians."""
    counts = belongs.sum(0)
    means = belongs.T @ x / counts.clamp_min(1e-6)[:, None]
    covariances = []
    for mean, members, count in zip(means, belongs.T, counts, strict=True):
        pulled = PULL / (PULL + count)
        covariances.append(torch.lerp(_covariance(x - mean, members), whole, pulled))
    return counts / len(x), means, torch.linalg.cholesky(torch.stack(covariances))


def _covariance(centred: Tensor, weights: Tensor) -> Tensor:
    """(D,D) of (N,D) with weights (N,)."""
    found = (centred * weights[:, None]).T @ centred / weights.sum().clamp_min(1e-6)
    return found + RIDGE * torch.eye(len(found), dtype=found.dtype)


def _log_densities(x: Tensor, shares: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """Of latents (N,D) under each Gaussian times its share, up to a constant, (N,K)."""
    densities = []
    for share, mean, factor in zip(shares, means, factors, strict=True):
        white = torch.linalg.solve_triangular(factor, (x - mean).T, upper=False)
        volume = factor.diagonal().log().sum()
        densities.append(share.log() - volume - white.square().sum(0) / 2)
    return torch.stack(densities, 1)
