"""How near a set of pictures comes to another, told by their feature vectors.

Rows are pictures, columns the features of any network: (N,D). Figures of different networks cannot
be compared, and none of these is the Inception-based FID.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gentool.errors import UsageError

NEIGHBOURS = 5
PART = 1000  # rows compared at once: memory stays bounded for tens of thousands


def frechet(made: Tensor, real: Tensor) -> float:
    """Squared Fréchet distance of Gaussians fitted to (M,D) and (N,D) (Heusel et al. 2017, eq. 6).

    Returns:
        percent of the total variance of ``real``, 0 or more.

    Raises:
        UsageError: a set has fewer than two rows.
    """
    if min(len(made), len(real)) < 2:
        raise UsageError("a Frechet distance needs at least two pictures on each side")
    made, real = made.cpu().double(), real.cpu().double()  # MPS has no float64
    first, second = torch.cov(made.T), torch.cov(real.T)
    values, vectors = torch.linalg.eigh(second)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    shared = torch.linalg.eigvalsh(root @ first @ root).clamp(min=0).sqrt().sum()
    apart = (made.mean(0) - real.mean(0)).square().sum()
    total = second.trace()
    distance = apart + first.trace() + total - 2 * shared
    return max(0.0, float(distance / total.clamp_min(1e-12) * 100))


def coverage(points: Tensor, manifold: Tensor) -> float:
    """Share of (M,D) points within the radius of one of (N,D), that to its fifth neighbour.

    With generated points and a manifold of real ones this is precision, the other way round recall
    (Kynkäänniemi et al. 2019, eq. 2). They mean nothing for a manifold of a handful of points.
    """
    # a point is its own nearest
    radii = [_nearest(part, manifold, NEIGHBOURS + 1) for part in torch.split(manifold, PART)]
    radius = torch.cat(radii)
    within = [(torch.cdist(part, manifold) <= radius).any(1) for part in torch.split(points, PART)]
    return float(torch.cat(within).cpu().double().mean())


def duplicates(made: Tensor, real: Tensor) -> float:
    """Share of (M,D) that lie nearer to another than 99 % of ``real`` (N,D) do to their nearest.

    Raises:
        UsageError: a set has fewer than two rows.
    """
    if min(len(made), len(real)) < 2:
        raise UsageError("duplicates are found among at least two pictures on each side")
    apart, usual = (
        torch.cat([_nearest(part, rows, 2) for part in torch.split(rows, PART)])
        for rows in (made, real)
    )
    return float((apart < usual.quantile(0.01)).cpu().double().mean())


def _nearest(points: Tensor, among: Tensor, number: int) -> Tensor:
    """Distance of each row to its ``number``-th nearest, or to the farthest of fewer."""
    number = min(number, len(among))
    return torch.cdist(points, among).topk(number, largest=False).values[:, -1]
