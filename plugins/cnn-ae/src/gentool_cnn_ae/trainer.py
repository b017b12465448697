"""How the codec is trained: rate and distortion of all qualities at once, from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool import Trainer, TrainingError
from gentool.artifacts import Grid
from gentool.training import Batch, Moment, Pictures, Setup, Update, sample_held_out
from gentool_cnn_ae.choice import chosen
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
FLAT = 8.0  # times as much again an error costs where a picture is flat, while finishing
TEXTURE = 6 / 255  # deviation within 8 pixels that makes a place half flat


class CnnAeTrainer(Trainer):
    """Minimises ``lambda 255^2 MSE + bits a pixel``, lambda by a quality drawn for each picture.

    Rates are those of latents with uniform noise; what is decoded, and what the entropy model
    sees, is rounded with a straight-through gradient (Minnen & Singh 2020). One picture in eight,
    and at least one of a batch, has Gaussian noise, which the encoder is told of, and must come
    back without it.

    With ``--only decoding`` entropy model and decoder go on with the symbols that files have:
    soft, then hard (Guo et al. 2021). The encoder stays: learning as well, it spent ever more bits.

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
        networks = {**self.model.networks}
        self.finishing = options.only == "decoding"
        if self.finishing:
            networks = {name: networks[name] for name in ("decoder", "prior")}
        optimizer = torch.optim.Adam(self._parts(networks), betas=(0.9, 0.99))
        self.updates = (Update(networks, optimizer, self.loss),)
        self.terms = setup.compile(self._terms)

    def _parts(self, networks: Mapping[str, torch.nn.Module]) -> list[dict[str, Any]]:
        """What learns, and how fast."""
        model, rate = self.model, self.options.learning_rate
        learning = [p for net in networks.values() for p in net.parameters()]
        # the cosine transform is good as it is: steps as large as the others' would blur it
        slow = [model.encoder.linear.weight, model.decoder.linear.weight]
        fast = [*model.gains.parameters()]  # logarithms, which have a long way to go
        rates = {id(p): rate / 10 for p in slow} | {id(p): rate * 10 for p in fast}
        parts: dict[float, list[torch.nn.Parameter]] = {}
        for parameter in learning:
            parts.setdefault(rates.get(id(parameter), rate), []).append(parameter)
        return [{"params": parameters, "lr": own} for own, parameters in parts.items()]

    def loss(self, moment: Moment, batch: Batch) -> tuple[Tensor, Any]:
        pictures = batch.pictures
        count, device = len(pictures), pictures.device
        clean = count - max(1, count // DENOISED)
        levels = torch.randint(LEVELS, (count,), device=device)
        levels[clean:] = LEVELS - 1  # whose decoder denoises
        noise = torch.rand(count, device=device) * NOISIEST
        noise[:clean] = 0
        rate, squares = self.terms(pictures, levels, noise, written=self.finishing)
        error = squares.mean((1, 2))
        cost = shown = self.lambdas[levels] * error
        if self.finishing:
            flat = (squares * flatness(pictures)).mean((1, 2))
            shown = cost + FLAT * self.lambdas[levels] * flat
        coded = self.weights[levels] * (rate + shown)
        total = coded[:clean].sum() + DENOISING * error[clean:].sum()
        return total / count, {
            "bpp": rate[:clean].mean(),
            "distortion": cost[:clean].mean(),
            "psnr": psnr(error[:clean]).mean(),
            "denoised": psnr(error[clean:]).mean(),
        }

    def _terms(
        self, pictures: Tensor, levels: Tensor, noise: Tensor, written: bool
    ) -> tuple[Tensor, Tensor]:
        """Bits a pixel (N,), and squared errors in grey levels (N,H,W), mean over the colours.

        ``written``: of symbols as files have them, which give the encoder no gradient.
        """
        model, clean = self.model, (noise == 0)[:, None, None, None]
        grain = noise[:, None, None, None] * torch.randn_like(pictures)
        seen = (pictures + grain).clamp(0, 1)  # as files are
        with torch.set_grad_enabled(torch.is_grad_enabled() and not written):
            with self.setup.autocast():
                latents = model.encoder(seen, noise)
            gains = model.gains(levels)
            scaled = latents.float() * gains
        symbols = chosen(model, scaled, levels) if written else rounded(scaled)
        means, scales = model.prior(symbols, levels)
        rate = bits(symbols if written else scaled + uniform_noise(scaled), means, scales)
        # what is only denoised is never written to a file
        decoded = torch.where(clean, symbols, scaled) / gains
        with self.setup.autocast():
            output = model.decoder(decoded, levels)
        squares = (output.float() - pictures).square().mean(1) * 255**2
        return rate.sum((1, 2, 3)) / pictures[0, 0].numel(), squares

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
            rate, squares = self._terms(pictures, levels, none, written=True)
            error = squares.mean((1, 2))
            costs.append((self.weights[level] * (rate + self.lambdas[level] * error)).mean())
            if level % 3 == 1:
                found[f"bpp {level + 1}"] = rate.mean().item()
                found[f"psnr {level + 1}"] = psnr(error).mean().item()
        return {"cost": torch.stack(costs).mean().item()} | found

    def calibrate(self) -> None:
        """Count what symbols there are where the entropy model expects which: the coder's tables.

        The logistic distribution is where they begin, and what they keep to where little was seen.
        """
        fitted = Fitted()
        for batch in self.datasets[0].parts(COUNTED, 16, self.setup):
            none = torch.zeros(len(batch), device=self.setup.device)
            with self.setup.autocast():
                latents = self.model.encoder(batch.pictures, none).float()
            for level in range(LEVELS):
                levels = torch.full((len(batch),), level, device=self.setup.device)
                symbols = chosen(self.model, latents * self.model.gains(levels), levels)
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


def flatness(pictures: Tensor) -> Tensor:
    """How flat (N,3,H,W) is in each block of 8 pixels, (N,H,W) in 0..1.

    Small errors show there, such as the edges of the transform's blocks, and mean squares hardly
    count them.
    """
    grey = pictures.mean(1, keepdim=True)
    variance = F.avg_pool2d(grey**2, 8) - F.avg_pool2d(grey, 8) ** 2
    return F.interpolate(1 / (1 + variance / TEXTURE**2), scale_factor=8.0)[:, 0]


def psnr(error: Tensor) -> Tensor:
    """Decibels of a mean squared error in grey levels."""
    return 10 * torch.log10(255**2 / error.detach())
