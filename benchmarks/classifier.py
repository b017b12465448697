"""A small classifier, the second judge of generated pictures: are they taken for their class?

    python benchmarks/classifier.py --data cifar10.tar.xz:train/ --test cifar10.tar.xz:test/
        -o runs/classifier [--epochs 3]

Residual, 0.5 M parameters, cross-entropy with smoothed labels, shifted and mirrored pictures.
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

from gentool import Trainer
from gentool.training import Fit, Pictures, Plan, Update, train

BATCH = 250
WIDTH = 20
MEAN, DEVIATION = 0.46, 0.25
SHIFT = 3  # pixels, at most


class Block(nn.Module):
    """Pre-activation residual block (He et al. 2016) that halves the picture."""

    def __init__(self, here, then):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(here), nn.BatchNorm2d(then)
        self.conv1 = nn.Conv2d(here, then, 3, 2, 1, bias=False)
        self.conv2 = nn.Conv2d(then, then, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(here, then, 1, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        return self.skip(F.avg_pool2d(x, 2)) + self.conv2(F.relu(self.norm2(y)))


class Classifier(nn.Module):
    """Pictures (N,3,32,32) in 0..1 to logits (N,classes)."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes
        self.net = nn.Sequential(
            nn.Conv2d(3, WIDTH, 3, padding=1, bias=False),
            *(Block(WIDTH * n, 2 * WIDTH * n) for n in (1, 2, 4)),
            nn.BatchNorm2d(8 * WIDTH),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(8 * WIDTH, len(classes))

    @classmethod
    def from_config(cls, config):
        return cls(config["classes"])

    def get_config(self):
        return {"classes": list(self.classes)}

    @property
    def networks(self):
        return {"net": self.net, "head": self.head}

    def forward(self, pictures):
        return self.head(self.net((pictures - MEAN) / DEVIATION))

    @torch.no_grad()
    def see(self, pictures):
        """Features (N,160) and the class numbers (N,) it takes pictures for."""
        found = [self.net((part - MEAN) / DEVIATION) for part in pictures.split(BATCH)]
        features = torch.cat(found)
        return features, self.head(features).argmax(1)


class ClassifierTrainer(Trainer):
    def __init__(self, test, setup):
        self.setup = setup
        self.pictures = Pictures(setup.plan.data, prepare=Fit(32), split="all")
        self.test = Pictures([test], prepare=Fit(32), split="all", flip=False)
        self.datasets = (self.pictures,)
        self.model = Classifier(self.pictures.classes)
        for net in self.model.networks.values():
            setup.place(net)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=4e-3, weight_decay=0.02)
        self.updates = (Update(self.model.networks, optimizer, self.loss),)

    def loss(self, moment, batch):
        across, down = torch.randint(2 * SHIFT + 1, (2,)).tolist()
        padded = F.pad(batch.pictures, (SHIFT,) * 4, mode="reflect")
        side = batch.pictures.shape[-1]
        logits = self.model(padded[..., down : down + side, across : across + side])
        right = (logits.argmax(1) == batch.labels).float().mean()
        return F.cross_entropy(logits, batch.labels, label_smoothing=0.1), {"right": right}

    def validate(self):
        batch = self.test.sample_batch(2000, self.setup)
        wrong = self.model.see(batch.pictures)[1] != batch.labels
        return {"wrong": float(wrong.double().mean())}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, nargs="+")
    parser.add_argument("--test", required=True)
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--threads", type=int)
    a = parser.parse_args()
    plan = Plan(
        data=a.data,
        epochs=a.epochs,
        batch_size=128,
        lr_schedule="cosine",
        lr_warmup=200,
        ema=0.0,
        checkpoint_every=1000,
        preview_every=0,
    )
    train("classifier", lambda _, setup: ClassifierTrainer(a.test, setup), None, plan, a.output,
          threads=a.threads)  # fmt: skip


if __name__ == "__main__":
    main()
