"""Which latents there are: a flow from Gaussian noise to the encoder's latents.

Flow matching (Lipman et al. 2023, arXiv:2210.02747; straight paths as in Liu et al. 2022): the
network learns the velocity that carries N(0, I) into the aggregate posterior.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WAVES = 16  # of the time embedding, sine and cosine each
STEPS = 32  # of the integration


class _Block(nn.Module):
    """x + second(silu(first(norm(x)) scaled and shifted by the time))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.time = nn.Linear(2 * WAVES, 2 * width)
        nn.init.zeros_(self.second.weight)
        nn.init.normal_(self.time.weight, std=1e-2)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.time(time).chunk(2, 1)
        h = self.first(self.norm(x)) * (1 + scale) + shift
        result: Tensor = x + self.second(F.silu(h))
        return result


class Prior(nn.Module):
    """Velocity (N,D) of latents (N,D) at times (N,) from 0, noise, to 1, latents."""

    def __init__(self, latent: int, width: int, blocks: int) -> None:
        super().__init__()
        self.latent = latent
        self.enter = nn.Linear(latent, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.leave = nn.Linear(width, latent)
        nn.init.zeros_(self.leave.weight)

    def forward(self, latents: Tensor, times: Tensor) -> Tensor:
        frequencies = math.pi * torch.arange(1, WAVES + 1, device=times.device) / 2
        angles = times[:, None] * frequencies
        time = torch.cat([angles.sin(), angles.cos()], 1)
        h = self.enter(latents)
        for block in self.blocks:
            h = block(h, time)
        velocity: Tensor = self.leave(F.silu(h)).float()
        return velocity

    def loss(self, latents: Tensor) -> Tensor:
        """Mean squared error of the velocity (Lipman et al. 2023, eq. 23 with sigma_min 0)."""
        noise = torch.randn_like(latents)
        # times near the middle, where the paths cross, are harder to learn
        times = torch.randn(len(latents), device=latents.device).sigmoid()
        along = times[:, None]
        at = (1 - along) * noise + along * latents
        error: Tensor = self(at, times) - (latents - noise)
        return error.square().mean()

    @torch.no_grad()
    def flow(self, noise: Tensor, steps: int = STEPS) -> Tensor:
        """Noise (N,D) from N(0, I) carried to latents (N,D) by the midpoint rule."""
        x = noise
        for i in range(steps):
            start = torch.full((len(x),), i / steps, device=x.device)
            middle = x + self(x, start) / (2 * steps)
            x = x + self(middle, start + 1 / (2 * steps)) / steps
        return x
