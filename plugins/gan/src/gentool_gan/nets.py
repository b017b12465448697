"""Two generators: `residual`, a modern small one, and `dcgan`.

Latents are (N,latent) standard normal, labels (N,) int64 or None, pictures (N,3,S,S): 0..1 outside
of :class:`GAN`, -1..1 inside of the networks.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gentool.errors import WeightsError
from gentool.weights import config_values

START = 4  # side of the generator's first features
EMBEDDING = 32  # numbers that stand for a class in the residual generator
LATENT, WIDTH, CLASSES = (1, 1024), (1, 4096), 10_000  # what a file's config may ask for
# full size costs most and needs least
WIDTHS = {32: (192, 96, 48, 16), 64: (192, 192, 96, 48, 16)}
DCGAN_WIDTHS = {32: (256, 128, 64), 64: (512, 256, 128, 64)}


@dataclass(frozen=True)
class Config:
    """What rebuilds a generator; saved with the weights.

    Attributes:
        net: ``residual`` or ``dcgan``.
        widths: channels at 4x4, 8x8 ..., up to full size (residual) or to half of it (dcgan).
        latent: numbers in a latent.
        classes: names of the classes, in the order of their numbers; empty for none.
    """

    net: str = "residual"
    widths: tuple[int, ...] = WIDTHS[32]
    latent: int = 128
    classes: tuple[str, ...] = ()

    @property
    def stages(self) -> int:
        """Doublings from 4x4 to the picture."""
        return len(self.widths) - (self.net == "residual")

    @property
    def size(self) -> int:
        """Side of the pictures, pixels."""
        return START << max(0, self.stages)


def dcgan_config(size: int) -> Config:
    """The layout of Radford et al. 2015, figure 1, with half its channels and 4x4 kernels.

    At 32x32 it begins with 256 channels.
    """
    return Config("dcgan", DCGAN_WIDTHS[size], latent=100)


# --- residual ---------------------------------------------------------------------------------


class ModulatedNorm(nn.Module):
    """BatchNorm scaled and shifted by the code (de Vries et al. 2017; Chen et al. 2019)."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.scale_shift = nn.Linear(code, 2 * width)
        nn.init.zeros_(self.scale_shift.bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        scale, shift = self.scale_shift(code).float().chunk(2, 1)
        scale = 1 + scale
        if not self.norm.training:  # one pass over the features instead of two
            mean, variance = self.norm.running_mean, self.norm.running_var
            assert mean is not None
            assert variance is not None
            scale = scale * torch.rsqrt(variance + self.norm.eps)
            shift = shift - mean * scale
        else:
            x = self.norm(x)
        shift, scale = (v[:, :, None, None].to(x.dtype) for v in (shift, scale))
        return torch.addcmul(shift, x, scale)


class UpConv(nn.Conv2d):
    """3x3 convolution of the picture enlarged twice (nearest), for 4/9 of the arithmetic.

    Of the nine weights that meet an enlarged pixel, those that meet equal neighbours are summed
    first: a 4x4 transposed convolution of stride 2 that cannot draw a checkerboard.
    """

    def forward(self, x: Tensor) -> Tensor:
        kernel = F.avg_pool2d(F.pad(self.weight.flip(2, 3), (1, 1, 1, 1)), 2, 1) * 4
        return F.conv_transpose2d(x, kernel.transpose(0, 1), self.bias, stride=2, padding=1)


class UpBlock(nn.Module):
    """(N,in,H,W) and code -> (N,out,2H,2W), pre-activation residual (He et al. 2016)."""

    def __init__(self, in_channels: int, out_channels: int, code: int) -> None:
        super().__init__()
        self.norm1 = ModulatedNorm(in_channels, code)
        self.conv1 = UpConv(in_channels, out_channels, 3, padding=1)
        self.norm2 = ModulatedNorm(out_channels, code)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        y = self.conv1(F.relu_(self.norm1(x, code)))
        y = self.conv2(F.relu_(self.norm2(y, code)))
        enlarged: Tensor = F.interpolate(self.skip(x), scale_factor=2.0)
        return enlarged.add_(y)


class ResidualGenerator(nn.Module):
    """Latents (N,latent) and labels -> pictures (N,3,S,S) in -1..1.

    The latent makes the first features and, with the class, modulates every layer, as in BigGAN
    (Brock et al. 2018).
    """

    def __init__(self, c: Config) -> None:
        super().__init__()
        code = c.latent + (EMBEDDING if c.classes else 0)
        widths = c.widths
        self.embed = nn.Embedding(len(c.classes), EMBEDDING) if c.classes else None
        self.first = nn.Linear(code, widths[0] * START**2)
        self.blocks = nn.ModuleList(UpBlock(a, b, code) for a, b in itertools.pairwise(widths))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.rgb = nn.Conv2d(widths[-1], 3, 3, padding=1)
        orthogonal(self)
        if self.embed is not None:  # as large as the latent beside it, or it would not be heard
            nn.init.normal_(self.embed.weight)

    def code(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Latent and class as one vector (N,code); ``labels`` may be shares (N,classes)."""
        if self.embed is None:
            return latents
        if labels is None:
            raise ValueError("this generator knows classes: give it labels")
        named = self.embed(labels) if labels.dim() == 1 else labels @ self.embed.weight
        return torch.cat([latents, named], 1)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        code = self.code(latents, labels)
        x = self.first(code).view(len(latents), START, START, -1).permute(0, 3, 1, 2)
        x = x.contiguous()  # the convolutions' layout decides; see gentool.compute.Compute.layout
        for block in self.blocks:
            x = block(x, code)
        return torch.tanh_(self.rgb(F.relu_(self.norm(x))))


def orthogonal(net: nn.Module) -> None:
    """Start convolutions, linear layers and embeddings orthogonal (Saxe et al. 2014)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Embedding | nn.Linear):
            nn.init.orthogonal_(module.weight)


# --- dcgan ------------------------------------------------------------------------------------


class DCGANGenerator(nn.Module):
    """Latents (N,100) -> pictures (N,3,S,S) in -1..1, without classes."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        widths = c.widths
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(zip([c.latent, *widths], widths, strict=False)):
            stride, padding = (2, 1) if number else (1, 0)
            layers += [
                nn.ConvTranspose2d(a, b, 4, stride, padding, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        small_normal(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        pictures: Tensor = self.layers(latents[:, :, None, None])
        return pictures


def small_normal(net: nn.Module) -> None:
    """Start with N(0, 0.02) (Radford et al. 2015), and BatchNorm's factors with N(1, 0.02)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)


# --- the model --------------------------------------------------------------------------------

GENERATORS = {"residual": ResidualGenerator, "dcgan": DCGANGenerator}


class GAN(nn.Module):
    """A generator and what it knows; a :class:`gentool.Model`."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or Config()
        self.generator = GENERATORS[self.config.net](self.config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> GAN:
        rest = dict(config)
        net, widths = rest.pop("net", "residual"), rest.pop("widths", None)
        classes = rest.pop("classes", [])
        if net not in [*GENERATORS]:  # a hostile one cannot be looked up
            raise WeightsError(f"its config has net = {net!r}, must be {' or '.join(GENERATORS)}")
        if not isinstance(widths, list | tuple):
            raise WeightsError(f"its config has widths = {widths!r}, must be whole numbers")
        for number, width in enumerate(widths):
            config_values({f"widths[{number}]": width}, {f"widths[{number}]": WIDTH})
        if Config(net, tuple(widths)).size not in WIDTHS:
            raise WeightsError(f"its config has {len(widths)} widths, too few or too many")
        if (
            not isinstance(classes, list | tuple)
            or len(classes) > CLASSES
            or not all(isinstance(name, str) for name in classes)
            or (classes and net == "dcgan")
        ):
            raise WeightsError("its config's classes must be names, and dcgan has none")
        latent = config_values(rest, {"latent": LATENT})
        return cls(Config(net, tuple(widths), **latent, classes=tuple(classes)))

    def get_config(self) -> dict[str, Any]:
        c = self.config
        return asdict(c) | {"widths": list(c.widths), "classes": list(c.classes)}

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator}

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N,latent), labels (N,) where there are classes -> pictures (N,3,S,S), 0..1."""
        pictures: Tensor = self.generator(latents, labels)
        return pictures.float().add(1).div(2)
