"""The classic DCGAN (Radford et al. 2015) at 32x32, as the engine's yardstick: nets and trainer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from gentool import Trainer
from gentool.training import Update

LATENT = 100


def generator():
    """(N,100,1,1) to (N,3,32,32) in -1..1."""
    layers, width = [], LATENT
    for out in (256, 128, 64):
        first = width == LATENT
        layers += [
            nn.ConvTranspose2d(width, out, 4, 1 if first else 2, 0 if first else 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        ]
        width = out
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())


def discriminator():
    """(N,3,32,32) in -1..1 to logits (N,1,1,1)."""
    layers, width = [], 3
    for out in (64, 128, 256):
        layers.append(nn.Conv2d(width, out, 4, 2, 1, bias=width == 3))
        layers += [nn.BatchNorm2d(out)] * (width != 3)
        layers.append(nn.LeakyReLU(0.2, inplace=True))
        width = out
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 4))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = generator()

    @classmethod
    def from_config(cls, config):  # noqa: ARG003 - the protocol's
        return cls()

    def get_config(self):
        return {}

    @property
    def networks(self):
        return {"generator": self.generator}


class Adversaries:
    """The two losses, shared by the engine's trainer and the bare loop."""

    def __init__(self, place, autocast):
        self.model = Model()
        self.generator, self.discriminator = place(self.model.generator), place(discriminator())
        self.autocast = autocast
        self.optimizers = [
            torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999))
            for net in (self.discriminator, self.generator)
        ]

    def judge(self, pictures):
        with self.autocast():
            return self.discriminator(pictures).flatten().float()

    def make(self, count, device):
        noise = torch.randn(count, LATENT, 1, 1, device=device)
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
