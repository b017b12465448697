"""The classic DCGAN (Radford et al. 2015) at 32x32, as the engine's yardstick: nets and trainer."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from gentool import Trainer
from gentool.training import Update
from gentool_gan.discriminators import DCGANDiscriminator
from gentool_gan.nets import GAN, dcgan_config


class Adversaries:
    """The two losses, shared by the engine's trainer and the bare loop."""

    def __init__(self, place, autocast):
        self.model = GAN(dcgan_config(32))
        config = self.model.config
        self.generator = place(self.model.generator)
        self.discriminator = place(DCGANDiscriminator(config, config.widths[-1]))
        self.autocast = autocast
        self.optimizers = [
            torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999))
            for net in (self.discriminator, self.generator)
        ]

    def judge(self, pictures):
        with self.autocast():
            return self.discriminator(pictures).float()

    def make(self, count, device):
        noise = torch.randn(count, self.model.config.latent, device=device)
        with self.autocast():
            return self.generator(noise)

    def discriminator_loss(self, pictures):
        real = pictures * 2 - 1
        with torch.no_grad():
            fake = self.make(len(real), real.device)
        return F.softplus(-self.judge(real)).mean() + F.softplus(self.judge(fake)).mean()

    def generator_loss(self, pictures):
        return F.softplus(-self.judge(self.make(len(pictures), pictures.device))).mean()


class DCGANTrainer(Trainer):
    def __init__(self, setup, pictures):
        self.datasets = (pictures,)
        self.nets = nets = Adversaries(setup.place, setup.autocast)
        self.model = nets.model
        self.updates = (
            Update(
                {"discriminator": nets.discriminator},
                nets.optimizers[0],
                lambda _, batch: (nets.discriminator_loss(batch.pictures), {}),
                name="discriminator",
            ),
            Update(
                self.model.networks,
                nets.optimizers[1],
                lambda _, batch: (nets.generator_loss(batch.pictures), {}),
                name="generator",
            ),
        )
