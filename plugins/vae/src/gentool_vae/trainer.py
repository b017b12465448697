"""How the VAE is trained: the bound, and beside it what makes samples good."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool import Trainer, TrainingError
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
PRIOR_DRAWS = 4  # of noise and time for each latent: next to nothing beside the convolutions
FINISHING_DRAWS = 16  # the same where nothing but the prior learns
PREVIEWS = 8
VALIDATED = 1024


class VAETrainer(Trainer):
    """Two updates: encoder and decoder by the evidence lower bound; prior and details after them.

    The second sees latents and decoder features detached, so details change neither the bound nor
    what a latent means. ``--only prior`` is a finish: while all learn, the prior follows latents
    that still move (two stages: Dai & Wipf 2019).
    """

    def __init__(self, options: TrainOptions, setup: Setup) -> None:
        self.options, self.setup = options, setup
        if options.only != "all" and not setup.continues:
            raise TrainingError("--only: give the networks that it finishes with --weights")
        fit = Fit(options.size)
        self.datasets = (Pictures(setup.plan.data, prepare=fit),)
        self.model = setup.place(VAE(_config(options)))
        self._held_out = sample_held_out(VALIDATED, setup, prepare=fit)
        self.features = setup.place(Features.load(layers=LAYERS))
        first = {name: self.model.networks[name] for name in ("encoder", "decoder")}
        second = {name: self.model.networks[name] for name in ("detail", "prior")}
        prior = {"prior": self.model.prior}
        every = options.sample_every
        self.updates: tuple[Update, ...] = (
            Update(first, self._adam(first), self.bound, name="bound"),
            Update(second, self._adam(second), self.samples, every, name="samples"),
        )
        if options.only == "prior":
            self.updates = (Update(prior, self._adam(prior), self.prior_alone),)
        self.bound_terms = setup.compile(self._bound)
        self.sample_terms = setup.compile(self._samples)

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

    def prior_alone(self, moment: Moment, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The prior's velocity, many draws for each latent."""
        with torch.no_grad(), self.setup.autocast():
            posterior = self.model.encode(batch.pictures)
            latents = torch.cat([posterior.sample() for _ in range(FINISHING_DRAWS)])
        with self.setup.autocast():
            return self.model.prior.loss(latents), {}

    def samples(self, moment: Moment, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The prior's velocity, and the energy score of details."""
        terms = self.sample_terms(batch.pictures)
        return terms["prior"] + terms["detail"], terms

    def _samples(self, pictures: Tensor) -> Mapping[str, Tensor]:
        half = pictures[: (len(pictures) + 1) // 2]  # two draws each: as many as there are pictures
        with self.setup.autocast():
            with torch.no_grad():
                latents = self.model.encode(pictures).sample()
                decoded = self.model.decode(latents[: len(half)])
                real = self._see(half)
            twice = type(decoded)(*(torch.cat([part, part]) for part in decoded))
            noise = self.model.noise(2 * len(half), device=pictures.device)
            sharp = self.model.sharpen(twice, noise)
            drawn = self._see(sharp)
            prior = self.model.prior.loss(latents.repeat(PRIOR_DRAWS, 1))
        return {"prior": prior, "detail": total_score(real, drawn)}

    def _see(self, pictures: Tensor) -> dict[str, Tensor]:
        """What draws are scored by: features and pixels in patches, up to a quarter of the side.

        Scored one position at a time, neighbours could have nothing to do with one another, and
        draws would be speckled.
        """
        seen: dict[str, Tensor] = self.features(pictures)
        patches = {f"{n} x 2": F.pixel_unshuffle(seen[n], 2) for n in ("relu2_1", "relu3_1")}
        return seen | patches | {f"pixels x {n}": F.pixel_unshuffle(pictures, n) for n in (2, 4, 8)}

    def preview(self) -> list[Grid]:
        """Pictures, their reconstructions blurred and sharp, and samples blurred and sharp."""
        pictures = self.datasets[0].sample(PREVIEWS, self.setup)
        count = len(pictures)
        own = self.model.noise(count, device=pictures.device)
        drawn = torch.randn(count, self.options.latent).to(pictures.device)
        with self.setup.autocast():
            again = self.model.decode(self.model.encode(pictures).mean)
            new = self.model.decode(self.model.prior.flow(drawn))
            rows = [pictures]
            for decoded in (again, new):
                rows += [decoded.mean, self.model.sharpen(decoded, own)]
        return [Grid([p.float().clamp(0, 1) for row in rows for p in row], columns=count)]

    def validate(self) -> Mapping[str, float]:
        """Of pictures that were kept out of the training: bits a value, and PSNR; of ``--only
        prior``, which changes neither, the prior's loss.
        """
        if self._held_out is None:
            return {}
        if self.options.only == "prior":  # the rest does not change
            return {"prior": self._prior_held_out(self._held_out)}
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

    def _prior_held_out(self, pictures: Tensor) -> float:
        """The prior's loss on pictures that were kept out; many draws, for a steady figure."""
        with self.setup.autocast():
            parts = torch.split(pictures, self.setup.plan.batch_size)
            latents = torch.cat([self.model.encode(part).sample() for part in parts])
            loss: float = self.model.prior.loss(latents.repeat(FINISHING_DRAWS, 1)).item()
        return loss


def _config(options: TrainOptions) -> Config:
    return Config(
        options.size,
        options.latent,
        options.width,
        prior_width=options.prior_width,
        prior_blocks=options.prior_blocks,
    )
