"""A plain convolutional VAE (Kingma & Welling 2014), the yardstick of benchmarks/vae.py.

    python benchmarks/plain_vae.py --data cifar10.tar.xz:train/ -o runs/plain [--minutes 10]

Four convolutions and four transposed ones, 128 latents, a Gaussian with batch-optimal deviation,
sums over pixels and latents, Adam 1e-3, batches of 128.
"""

import argparse
import itertools

import torch
from torch import nn

from gentool import Trainer
from gentool.training import Fit, Pictures, Plan, Update, train
from gentool_vae.likelihood import divergence, optimal_gaussian
from gentool_vae.nets import Posterior

LATENT, WIDTHS = 128, (3, 32, 64, 128, 256)


def convolutions(kind, widths):
    for here, then in itertools.pairwise(widths):
        yield from (kind(here, then, 4, 2, 1), nn.ReLU())


class PlainVAE(nn.Module):
    """Pictures (N,3,32,32) in 0..1 to a posterior over 128 latents, and back."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            *convolutions(nn.Conv2d, WIDTHS), nn.Flatten(), nn.Linear(1024, 2 * LATENT)
        )
        up = list(convolutions(nn.ConvTranspose2d, WIDTHS[::-1]))
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, 1024), nn.Unflatten(1, (256, 2, 2)), *up[:-1], nn.Sigmoid()
        )

    @classmethod
    def from_config(cls, config):  # noqa: ARG003 - the protocol's
        return cls()

    def get_config(self):
        return {}

    @property
    def networks(self):
        return {"encoder": self.encoder, "decoder": self.decoder}

    def encode(self, pictures):
        return Posterior(*self.encoder(pictures).float().chunk(2, 1))


class PlainTrainer(Trainer):
    def __init__(self, options, setup):
        self.setup = setup
        self.datasets = (Pictures(setup.plan.data, prepare=Fit(32)),)
        self.model = setup.place(PlainVAE())
        optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.updates = (Update(self.model.networks, optimizer, self.loss),)

    def loss(self, moment, batch):
        with self.setup.autocast():
            posterior = self.model.encode(batch.pictures)
            mean = self.model.decoder(posterior.sample()).float()
        error = optimal_gaussian(mean, batch.pictures)
        kl = divergence(*posterior).sum(1).mean()
        return (error + kl) / batch.pictures[0].numel(), {"error": error, "kl": kl}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, nargs="+")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int)
    a = parser.parse_args()
    plan = Plan(data=a.data, minutes=a.minutes, steps=a.steps, batch_size=128, checkpoint_every=200)
    train("plain-vae", PlainTrainer, None, plan, a.output, threads=a.threads)


if __name__ == "__main__":
    main()
