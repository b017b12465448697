"""How the codec is trained: rate and distortion of all qualities at once, from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gentool import Trainer, TrainingError
from gentool.artifacts import Grid
from gentool.training import Batch, Moment, Pictures, Setup, Update
from gentool_cnn_ae.crops import ShrinkCrop
from gentool_cnn_ae.nets import LEVELS, CnnAe, lambdas, rounded, uniform_noise
from gentool_cnn_ae.options import TrainOptions
from gentool_cnn_ae.prior import bits

PREVIEWS = 4
VALIDATED = 24  # pictures, all qualities each
DENOISED = 8  # one picture in so many of a batch has noise to remove
NOISIEST = 55 / 255
DENOISING = 0.02  # what a squared error of one grey level costs there


class CnnAeTrainer(Trainer):
    """Minimises ``lambda 255^2 MSE + bits a pixel``, lambda by a quality drawn for each picture.

    Rates are those of latents with uniform noise; what is decoded, and what the entropy model
    sees, is rounded with a straight-through gradient (Minnen & Singh 2020). One picture in eight
    has Gaussian noise, which the encoder is told of, and must come back without it.
    """

    def __init__(self, options: TrainOptions, setup: Setup) -> None:
        self.options, self.setup = options, setup
        crop = ShrinkCrop(options.crop_size, options.smallest_scale)
        self.datasets = (Pictures(setup.plan.data, crop),)
        self.model = setup.place(CnnAe())
        self.lambdas = lambdas().to(setup.device)
        # without this the best quality's errors would drown those of all others
        self.weights = (self.lambdas / self.lambdas.log().mean().exp()) ** -0.35
        linear = [self.model.encoder.linear.weight, self.model.decoder.linear.weight]
        gains = [*self.model.gains.parameters()]
        known = {id(weight) for weight in linear + gains}
        rest = [p for p in self.model.parameters() if id(p) not in known]
        rate = options.learning_rate
        parts: list[dict[str, Any]] = [
            {"params": rest},
            # the cosine transform is good as it is: steps as large as the others' would blur it
            {"params": linear, "lr": rate / 10},
            {"params": gains, "lr": rate * 10},  # logarithms, which have a long way to go
        ]
        optimizer = torch.optim.Adam(parts, lr=rate, betas=(0.9, 0.99))
        self.updates = (Update(self.model.networks, optimizer, self.loss),)
        self.terms = setup.compile(self._terms)

    def loss(self, moment: Moment, batch: Batch) -> tuple[Tensor, Any]:
        pictures = batch.pictures
        count = len(pictures)
        noisy = max(1, count // DENOISED)
        device = pictures.device
        levels = torch.randint(LEVELS, (count,), device=device)
        noise = torch.rand(count, device=device) * NOISIEST
        noise[: count - noisy] = 0
        rate, error = self.terms(pictures, levels, noise)
        cost = self.lambdas[levels] * error
        rated = noise == 0
        total = (self.weights[levels] * (rate + cost))[rated].sum() + (
            DENOISING * error[~rated]
        ).sum()
        return total / count, {
            "bpp": rate[rated].mean(),
            "distortion": cost[rated].mean(),
            "psnr": psnr(error[rated]).mean(),
            "denoised": psnr(error[~rated]).mean(),
        }

    def _terms(self, pictures: Tensor, levels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Bits a pixel and squared error in grey levels, (N,) each."""
        model, clean = self.model, (noise == 0)[:, None, None, None]
        seen = pictures + noise[:, None, None, None] * torch.randn_like(pictures)
        with self.setup.autocast():
            latents = model.encoder(seen, noise)
        gains = model.gains(levels)
        scaled = latents.float() * gains
        symbols = rounded(scaled)
        means, scales = model.prior(symbols, levels)
        rate = bits(scaled + uniform_noise(scaled), means, scales).sum((1, 2, 3))
        # what is only denoised is never written to a file
        decoded = torch.where(clean, symbols, scaled) / gains
        with self.setup.autocast():
            output = model.decoder(decoded, levels)
        error = (output.float() - pictures).square().mean((1, 2, 3)) * 255**2
        return rate / pictures[0, 0].numel(), error

    def validate(self) -> Mapping[str, float]:
        """Mean cost over all qualities on held-out pictures, without noise anywhere."""
        try:
            held_out = Pictures(
                self.setup.plan.data, self.datasets[0].transform, flip=False, split="held-out"
            )
        except TrainingError:  # a small folder may hold out none
            return {}
        pictures = held_out.sample(min(VALIDATED, len(held_out)), self.setup)
        found: dict[str, float] = {}
        costs = []
        for level in range(LEVELS):
            levels = torch.full((len(pictures),), level, device=pictures.device)
            rate, error = self._terms(pictures, levels, torch.zeros(len(pictures)).to(pictures))
            costs.append((self.weights[level] * (rate + self.lambdas[level] * error)).mean())
            if level % 3 == 1:
                found[f"bpp {level + 1}"] = rate.mean().item()
                found[f"psnr {level + 1}"] = psnr(error).mean().item()
        return {"cost": torch.stack(costs).mean().item()} | found

    def preview(self) -> list[Grid]:
        """Pictures, and the same at the qualities 2, 5 and 8; then noisy and denoised."""
        pictures = self.datasets[0].sample(min(PREVIEWS, len(self.datasets[0])), self.setup)
        model, rows = self.model, [*pictures]
        zero = torch.zeros(len(pictures), device=pictures.device)
        for level in (1, 4, 7):
            levels = torch.full((len(pictures),), level, device=pictures.device)
            gains = model.gains(levels)
            with self.setup.autocast():
                latents = model.encoder(pictures, zero).float()
                shown = model.decoder((latents * gains).round() / gains, levels)
            rows += shown.float().clamp(0, 1)
        noise = zero + 25 / 255
        noisy = pictures + torch.randn_like(pictures) * 25 / 255
        with self.setup.autocast():
            shown = model.decoder(model.encoder(noisy, noise).float(), levels)
        rows += [*noisy.clamp(0, 1), *shown.float().clamp(0, 1)]
        return [Grid(rows, columns=len(pictures))]


def psnr(error: Tensor) -> Tensor:
    """Decibels of a mean squared error in grey levels."""
    return 10 * torch.log10(255**2 / error.detach())
