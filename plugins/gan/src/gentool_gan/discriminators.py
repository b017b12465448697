"""What tells generated pictures from real ones: needed in training only.

Each takes pictures (N,3,S,S) in -1..1 and labels (N,), or None where there are no classes, and
gives logits (N,): positive means real.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gentool_gan.nets import START, Config, orthogonal, small_normal

LAYERS = ("relu2_1", "relu3_1")  # nothing deeper: deeper layers judge the result


class DownBlock(nn.Module):
    """(N,in,H,W) -> (N,out,H/2,W/2), or of the same size: pre-activation residual.

    It is halved between its convolutions: the second costs a quarter.
    """

    def __init__(self, in_channels: int, out_channels: int, down: bool = True) -> None:
        super().__init__()
        self.down = down
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if down else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(x))
        if self.down:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        kept: Tensor = self.skip(x)
        added: Tensor = self.conv2(F.relu(y))
        return kept + added


class Verdict(nn.Module):
    """Last features (N,C,H,W) and labels -> logits (N,).

    A class is judged by projection (Miyato & Koyama 2018).
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, 1)
        self.embed = nn.Embedding(classes, width) if classes else None

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        features = F.relu(x).sum((2, 3))
        logits: Tensor = self.head(features)[:, 0]
        if self.embed is not None:
            logits = logits + (self.embed(labels) * features).sum(1)
        return logits


def normalise(net: nn.Module) -> None:
    """Start orthogonal, and keep every layer's spectral norm at 1 (Miyato et al. 2018)."""
    orthogonal(net)
    for module in [*net.modules()]:
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            spectral_norm(module)


class ResidualDiscriminator(nn.Module):
    """Pictures (N,3,S,S) in -1..1 and labels -> logits (N,).

    Spectrally normalised (Miyato et al. 2018); a class is judged by projection (Miyato & Koyama
    2018).
    """

    def __init__(self, c: Config, width: int) -> None:
        super().__init__()
        widths = [width * min(4, 2**stage) for stage in range(c.stages + 1)]
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(
            *(DownBlock(a, b) for a, b in itertools.pairwise(widths)),
            DownBlock(widths[-1], widths[-1], down=False),
        )
        self.verdict = Verdict(widths[-1], len(c.classes))
        normalise(self)

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.verdict(self.blocks(self.stem(pictures)), labels)
        return logits


class FeatureDiscriminator(nn.Module):
    """Judges what a frozen feature network sees, beside the pixels, as in Sauer et al. 2021.

    It need not learn first what edges and textures are: with few pictures shown, the generator
    learns much more from it than from :class:`ResidualDiscriminator`. relu2_1 and the pixels enter
    at half size, relu3_1 at a quarter.

    Args:
        c: of the generator.
        width: channels at half size.
        features: pictures (N,3,S,S) in 0..1 -> relu2_1 (N,128,S/2,S/2), relu3_1 (N,256,S/4,S/4).
        scales: what each layer is multiplied by, so that its deviation is about 1.
    """

    scales: Tensor

    def __init__(
        self, c: Config, width: int, features: nn.Module, scales: tuple[float, float]
    ) -> None:
        super().__init__()
        widths = [width * min(4, 2**stage) for stage in range(c.stages)]
        self.register_buffer("scales", torch.tensor(scales))  # kept: the weights count on them
        self.at_half = nn.Conv2d(12 + 128, widths[0], 1)
        self.at_quarter = nn.Conv2d(256, widths[1], 1)
        self.first = DownBlock(*widths[:2])
        self.blocks = nn.Sequential(
            *(DownBlock(a, b) for a, b in itertools.pairwise(widths[1:])),
            DownBlock(widths[-1], widths[-1], down=False),
        )
        self.verdict = Verdict(widths[-1], len(c.classes))
        normalise(self)
        self.features = features.requires_grad_(False)  # last: it stays as it is

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        seen = self.features((pictures + 1) / 2)
        half, quarter = self.scales.unbind()
        # at_half of all its channels in two parts: an odd number of them joined is slow on a CPU
        weight = self.at_half.weight
        x = F.conv2d(seen[LAYERS[0]], weight[:, 12:] * half, self.at_half.bias)
        # 2x2 pixels are the first 12 channels
        x = x + F.conv2d(pictures, weight[:, :12].reshape(-1, 3, 2, 2), stride=2)
        x = self.first(x)
        x = x + F.conv2d(seen[LAYERS[1]], self.at_quarter.weight * quarter, self.at_quarter.bias)
        logits: Tensor = self.verdict(self.blocks(x), labels)
        return logits


class DCGANDiscriminator(nn.Module):
    """Pictures (N,3,S,S) in -1..1 -> logits (N,), without classes."""

    def __init__(self, c: Config, width: int) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(c.stages)]
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(zip([3, *widths], widths, strict=False)):
            layers.append(nn.Conv2d(a, b, 4, 2, 1, bias=not number))
            layers += [nn.BatchNorm2d(b)] if number else []
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, START))
        small_normal(self)

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.layers(pictures)
        return logits.flatten()
