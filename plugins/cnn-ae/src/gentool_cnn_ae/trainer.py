"""How the codec is trained: rate and distortion of all qualities at once, from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gentool import Trainer, TrainingError
from gentool.artifacts import Grid
from gentool.training import Batch, Moment, Pictures, Setup, Update, sample_held_out
from gentool_cnn_ae.basis import STRIDE
from gentool_cnn_ae.crops import ShrinkCrop
from gentool_cnn_ae.nets import CnnAe, lambdas, rounded, uniform_noise
from gentool_cnn_ae.options import LEVELS, TrainOptions
from gentool_cnn_ae.prior import bits
from gentool_cnn_ae.tables import Fitted

PREVIEWS = 4
COUNTED = 256  # crops that the coder's tables are counted from
VALIDATED = 24  # pictures, all qualities each
DENOISED = 8  # one picture in so many of a batch has noise to remove
NOISIEST = 55 / 255
DENOISING = 0.02  # what a squared error of one grey level costs there


class CnnAeTrainer(Trainer):
    """Minimises ``lambda 255^2 MSE + bits a pixel``, lambda by a quality drawn for each picture.

    Rates are those of latents with uniform noise; what is decoded, and what the entropy model
    sees, is rounded with a straight-through gradient (Minnen & Singh 2020). One picture in eight,
    and at least one of a batch, has Gaussian noise, which the encoder is told of, and must come
    back without it.

    With ``--only entropy`` the entropy model alone goes on with whole symbols: soft, then hard
    (Guo et al. 2021). Both at once were tried: the encoder then spends ever more bits.

    Raises:
        TrainingError: a batch would have no picture without noise.
    """

    def __init__(self, options: TrainOptions, setup: Setup) -> None:
        self.options, self.setup = options, setup
        if options.only != "all" and not setup.continues:
            raise TrainingError("--only: give the networks that it finishes with --weights")
        if setup.plan.batch_size < 2:
            raise TrainingError(
                "--batch-size: cnn-ae needs at least 2, one picture of a batch to denoise"
            )
        crop = ShrinkCrop(options.crop_size, options.smallest_scale)
        self.datasets = (Pictures(setup.plan.data, crop),)
        self.held_out = sample_held_out(VALIDATED, setup, crop)
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
        if options.only == "entropy":
            networks: dict[str, torch.nn.Module] = {"prior": self.model.prior}
            parts = [{"params": self.model.prior.parameters()}]
        else:
            networks = {**self.model.networks}
        optimizer = torch.optim.Adam(parts, lr=rate, betas=(0.9, 0.99))
        loss = self.entropy_loss if options.only == "entropy" else self.loss
        self.updates = (Update(networks, optimizer, loss),)
        self.terms = setup.compile(self._terms)

    def loss(self, moment: Moment, batch: Batch) -> tuple[Tensor, Any]:
        pictures = batch.pictures
        count, device = len(pictures), pictures.device
        clean = count - max(1, count // DENOISED)
        levels = torch.randint(LEVELS, (count,), device=device)
        levels[clean:] = LEVELS - 1  # whose decoder denoises
        noise = torch.rand(count, device=device) * NOISIEST
        noise[:clean] = 0
        rate, error = self.terms(pictures, levels, noise)
        cost = self.lambdas[levels] * error
        coded = self.weights[levels] * (rate + cost)
        total = coded[:clean].sum() + DENOISING * error[clean:].sum()
        return total / count, {
            "bpp": rate[:clean].mean(),
            "distortion": cost[:clean].mean(),
            "psnr": psnr(error[:clean]).mean(),
            "denoised": psnr(error[clean:]).mean(),
        }

    def entropy_loss(self, moment: Moment, batch: Batch) -> tuple[Tensor, Any]:
        """Bits a pixel of the symbols of every quality, for the entropy model alone."""
        with torch.no_grad(), self.setup.autocast():
            none = torch.zeros(len(batch.pictures), device=batch.pictures.device)
            latents = self.model.encoder(batch.pictures, none).float()
        rates = torch.stack([self.rate(latents, level) for level in range(LEVELS)])
        shares = self.weights / self.weights.sum()
        return (shares * rates).sum(), {f"bpp {i + 1}": rates[i] for i in (1, 4, 7)}

    def rate(self, latents: Tensor, level: int) -> Tensor:
        """Mean bits a pixel of latents (N,latents,h,w) at a quality."""
        levels = torch.full((len(latents),), level, device=latents.device)
        symbols = (latents * self.model.gains(levels).detach()).round()
        found = bits(symbols, *self.model.prior(symbols, levels))
        return found.sum() / (len(latents) * STRIDE**2 * latents[0, 0].numel())

    def _terms(
        self, pictures: Tensor, levels: Tensor, noise: Tensor, whole: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Bits a pixel, of whole symbols or noisy ones, and squared error in grey levels, (N,)."""
        model, clean = self.model, (noise == 0)[:, None, None, None]
        grain = noise[:, None, None, None] * torch.randn_like(pictures)
        seen = (pictures + grain).clamp(0, 1)  # as files are
        with self.setup.autocast():
            latents = model.encoder(seen, noise)
        gains = model.gains(levels)
        scaled = latents.float() * gains
        symbols = rounded(scaled)
        means, scales = model.prior(symbols, levels)
        rate = bits(symbols if whole else scaled + uniform_noise(scaled), means, scales)
        # what is only denoised is never written to a file
        decoded = torch.where(clean, symbols, scaled) / gains
        with self.setup.autocast():
            output = model.decoder(decoded, levels)
        error = (output.float() - pictures).square().mean((1, 2, 3)) * 255**2
        return rate.sum((1, 2, 3)) / pictures[0, 0].numel(), error

    def validate(self) -> Mapping[str, float]:
        """Mean cost over all qualities on held-out pictures, without noise anywhere."""
        if self.held_out is None:
            return {}
        pictures = self.held_out
        found: dict[str, float] = {}
        costs = []
        for level in range(LEVELS):
            levels = torch.full((len(pictures),), level, device=pictures.device)
            none = torch.zeros(len(pictures)).to(pictures)
            rate, error = self._terms(pictures, levels, none, whole=True)
            costs.append((self.weights[level] * (rate + self.lambdas[level] * error)).mean())
            if level % 3 == 1:
                found[f"bpp {level + 1}"] = rate.mean().item()
                found[f"psnr {level + 1}"] = psnr(error).mean().item()
        return {"cost": torch.stack(costs).mean().item()} | found

    def calibrate(self) -> None:
        """Count what symbols there are where the entropy model expects which: the coder's tables.

        The logistic distribution is where they begin, and what they keep to where little was seen.
        """
        pictures = self.datasets[0].sample(COUNTED, self.setup)
        fitted = Fitted()
        for part in torch.split(pictures, 16):
            none = torch.zeros(len(part), device=part.device)
            with self.setup.autocast():
                latents = self.model.encoder(part, none).float()
            for level in range(LEVELS):
                levels = torch.full((len(part),), level, device=part.device)
                symbols = (latents * self.model.gains(levels)).round()
                fitted.add(symbols, *self.model.prior(symbols, levels))
        self.model.tables.counts.copy_(fitted.counts())

    def preview(self) -> list[Grid]:
        """Pictures, and the same at the qualities 2, 5 and 8; then noisy and denoised."""
        pictures = self.datasets[0].sample(PREVIEWS, self.setup)
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
