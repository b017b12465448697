"""How the VAE is trained: the bound, and beside it what makes samples good."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool import Trainer
from gentool.artifacts import Grid
from gentool.similarity import psnr
from gentool.training import Batch, Fit, Moment, Pictures, Setup, Update, sample_held_out
from gentool_perceptual.features import Features
from gentool_vae.energy import total_score
from gentool_vae.likelihood import (
    bits_per_dimension,
    discretised_logistic,
    divergence,
    negative_bound,
    optimal_gaussian,
)
from gentool_vae.nets import VAE, Config
from gentool_vae.options import TrainOptions

LAYERS = ("relu1_1", "relu2_1", "relu3_1")  # nothing deeper: deeper layers judge the result
FITTED = 50_000  # pictures, at most, whose latents the prior is fitted to
PREVIEWS = 8
VALIDATED = 1024


class VAETrainer(Trainer):
    """Two updates: encoder and decoder by the evidence lower bound; details after them.

    The second sees latents and decoder features detached, so details change neither the bound nor
    what a latent means. The prior is fitted to the averaged encoder's latents whenever the networks
    are shown or saved (two stages: Dai & Wipf 2019).
    """

    def __init__(self, options: TrainOptions, setup: Setup) -> None:
        self.options, self.setup = options, setup
        fit = Fit(options.size)
        self.datasets = (Pictures(setup.plan.data, prepare=fit),)
        self.model = setup.place(VAE(_config(options)))
        self._held_out = sample_held_out(VALIDATED, setup, prepare=fit)
        self.features = setup.place(Features.load(layers=LAYERS))
        first = {name: self.model.networks[name] for name in ("encoder", "decoder")}
        second = {"detail": self.model.detail}
        every = options.sample_every
        self.updates = (
            Update(first, self._adam(first), self.bound, name="bound"),
            Update(second, self._adam(second), self.samples, every, name="samples"),
        )
        self.bound_terms = setup.compile(self._bound)
        self.sample_score = setup.compile(self._score)

    def _adam(self, networks: Mapping[str, torch.nn.Module]) -> torch.optim.Adam:
        parameters = [p for net in networks.values() for p in net.parameters()]
        return torch.optim.Adam(parameters, lr=self.options.learning_rate, betas=(0.9, 0.99))

    def bound(self, moment: Moment, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Reconstruction and KL divergence, summed over pixels and latents, in nats a value."""
        o = self.options
        error, own, each = self.bound_terms(batch.pictures)
        values = batch.pictures[0].numel()
        by_latent = each.mean(0)
        warm = min(1.0, (moment.step + 1) / o.kl_warmup) if o.kl_warmup else 1.0
        pushed = by_latent.clamp_min(o.free_bits).sum()
        kl = by_latent.sum()
        total = (error + warm * o.beta * pushed + own.mean()) / values
        return total, {
            "reconstruction": error / values,
            "kl": kl,
            "active": (by_latent > 0.1).float().sum(),
            "bits/dim": bits_per_dimension(own.mean() + kl, batch.pictures),
        }

    def _bound(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with self.setup.autocast():
            posterior = self.model.encode(pictures)
            decoded = self.model.decode(posterior.sample())
        # the mean learns from the first of these alone, the scale from the second
        error = optimal_gaussian(decoded.mean, pictures)
        own = discretised_logistic(decoded.mean.detach(), decoded.log_scale, pictures)
        return error, own, divergence(*posterior)

    def samples(self, moment: Moment, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The energy score of details."""
        return self.sample_score(batch.pictures), {}

    def _score(self, pictures: Tensor) -> Tensor:
        half = pictures[: (len(pictures) + 1) // 2]  # two draws each: as many as there are pictures
        with self.setup.autocast():
            with torch.no_grad():
                decoded = self.model.decode(self.model.encode(half).sample())
                real = self._see(half)
            twice = type(decoded)(*(torch.cat([part, part]) for part in decoded))
            noise = self.model.noise(2 * len(half), device=pictures.device)
            sharp = self.model.sharpen(twice, noise)
            drawn = self._see(sharp)
        return total_score(real, drawn)

    def _see(self, pictures: Tensor) -> dict[str, Tensor]:
        """What draws are scored by: features and pixels in patches, up to a quarter of the side.

        Scored one position at a time, neighbours could have nothing to do with one another, and
        draws would be speckled.
        """
        seen: dict[str, Tensor] = self.features(pictures)
        patches = {f"{n} x 2": F.pixel_unshuffle(seen[n], 2) for n in ("relu2_1", "relu3_1")}
        return seen | patches | {f"pixels x {n}": F.pixel_unshuffle(pictures, n) for n in (2, 4, 8)}

    def calibrate(self) -> None:
        """Fit the prior to the latents of the training's pictures."""
        parts = self.datasets[0].parts(FITTED, self.setup.plan.batch_size, self.setup)
        with self.setup.autocast():
            latents = [self.model.encode(part.pictures).sample().cpu() for part in parts]
        self.model.prior.fit(torch.cat(latents))

    def preview(self) -> list[Grid]:
        """Pictures, their reconstructions blurred and sharp, and samples blurred and sharp."""
        pictures = self.datasets[0].sample(PREVIEWS, self.setup)
        count = len(pictures)
        own = self.model.noise(count, device=pictures.device)
        draw = torch.rand(count), torch.randn(count, self.options.latent)
        latents = self.model.prior(*(numbers.to(pictures.device) for numbers in draw))
        with self.setup.autocast():
            again = self.model.decode(self.model.encode(pictures).mean)
            new = self.model.decode(latents)
            rows = [pictures]
            for decoded in (again, new):
                rows += [decoded.mean, self.model.sharpen(decoded, own)]
        return [Grid([p.float().clamp(0, 1) for row in rows for p in row], columns=count)]

    def validate(self) -> Mapping[str, float]:
        """Of pictures that were kept out of the training: bits a value, and PSNR."""
        if self._held_out is None:
            return {}
        bits, decibels = [], []
        for part in torch.split(self._held_out, self.setup.plan.batch_size):
            with self.setup.autocast():
                posterior = self.model.encode(part)
                decoded = self.model.decode(posterior.sample())
                again = self.model.decode(posterior.mean).mean
            nats = negative_bound(decoded, posterior, part)
            bits.append(bits_per_dimension(nats, part))
            decibels.append(psnr(again.clamp(0, 1), part))
        return {
            "bits/dim": torch.cat(bits).mean().item(),
            "psnr": torch.cat(decibels).mean().item(),
        }


def _config(options: TrainOptions) -> Config:
    return Config(options.size, options.latent, options.width, components=options.components)
