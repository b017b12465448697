"""The AdaIN style-transfer network: a compact encoder and decoder (Huang & Belongie 2017).

    content ─ Encoder ─ features at 1/4 and 1/8 ─ AdaIN ─ Decoder ─ picture
    style   ─ Encoder ─ mean and deviation ───────┘─ scale and shift ─┘
    noise ──────────────────────────────── strokes ───────┘

Where a content is flat, strokes must come from somewhere: without noise the only thing that
varies there is the position inside a cell of the grid, and the network would paint that grid.

Both AdaIN layers act on encoder features, which never depend on one another's statistics, and
the decoder normalises nothing: one pass over a picture gives every statistic, so large pictures
can be worked on in tiles and equal the whole (:mod:`gentool_adain.canvas`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gentool.weights import config_values
from gentool_adain.statistics import Features, Shares, Style, adain, spread

Noise = tuple[Tensor, Tensor]  # at 1/4 and at 1/8, each (N,channels,h,w), standard normal

STRIDE = 8  # the picture's sides must be multiples of this


@dataclass(frozen=True)
class Config:
    """Sizes of the network; saved with the weights.

    Attributes:
        width2, width4, width8: channels at 1/2, 1/4 and 1/8 of the picture's size.
        encoder8: residual convolutions at the encoder's end, at 1/8.
        code: units of the hidden layer between style statistics and scales and shifts.
        blocks8, blocks4: residual blocks of the decoder at 1/8 and 1/4.
        noise: channels of noise at 1/8 and at 1/4.
    """

    width2: int = 24
    width4: int = 48
    width8: int = 128
    encoder8: int = 1
    code: int = 128
    blocks8: int = 4
    blocks4: int = 1
    noise: int = 8


# what a file's config may ask for
LIMITS = {
    "width2": (3, 512),
    "width4": (3, 1024),
    "width8": (3, 2048),
    "encoder8": (0, 32),
    "code": (1, 4096),
    "blocks8": (0, 32),
    "blocks4": (0, 32),
    "noise": (1, 256),
}


class Conv(nn.Conv2d):
    """3x3 convolution with reflection padding: no dark frame around the picture."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, stride)
        nn.init.kaiming_normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(framed(x), weight, bias, self.stride)


def framed(x: Tensor) -> Tensor:
    """(N,C,H,W) with one reflected position on every side, as precise as convolutions take it.

    Left to autocast, the CPU would pad in float32, and its copies there and back cost half as much
    as the convolutions.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    with torch.autocast(device, enabled=False):
        return F.pad(x, (1, 1, 1, 1), mode="reflect")


class Encoder(nn.Module):
    """(N,3,H,W) in 0..1 -> features (N,width4,H/4,W/4) and (N,width8,H/8,W/8)."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        # space-to-depth first: dense convolutions at 1/4 cost a CPU far less than at full size
        self.stem = Conv(3 * 16, c.width4)
        self.down = Conv(c.width4, c.width8, stride=2)
        self.deep = Conv(c.width8, c.width8)
        deeper = [Conv(c.width8, c.width8) for _ in range(c.encoder8)]
        with torch.no_grad():
            for conv in deeper:
                conv.weight.mul_(0.3)  # starts near the identity
        self.deeper = nn.ModuleList(deeper)

    @property
    def reach(self) -> int:
        """Cells at 1/8 beyond its own that a cell's features depend on."""
        return 2 + len(self.deeper)  # stem and first convolution at 1/8: half a cell each

    def forward(self, image: Tensor) -> Features:
        x = F.pixel_unshuffle((image - 0.45) * 4, 4)  # (N,48,H/4,W/4), variance near 1
        f4 = self.stem(x)
        f8 = self.deep(F.relu_(self.down(F.relu(f4))))
        for conv in self.deeper:
            f8 = f8 + conv(F.relu(f8))
        return f4, f8


class StyledConv(nn.Module):
    """Convolution whose output channels the style scales and shifts (FiLM, Perez et al. 2018)."""

    def __init__(self, in_channels: int, out_channels: int, code: int) -> None:
        super().__init__()
        self.conv = Conv(in_channels, out_channels)
        self.scale_shift = nn.Linear(code, 2 * out_channels)
        nn.init.normal_(self.scale_shift.weight, std=0.01)
        nn.init.zeros_(self.scale_shift.bias)

    def forward(self, x: Tensor, code: Tensor, shares: Shares | None = None) -> Tensor:
        scale, shift = self.scale_shift(code).chunk(2, 1)
        scale = 1 + scale
        if len(code) == 1:  # one style: into the kernel, which is smaller than the features
            weight = self.conv.weight * scale[0, :, None, None, None]
            return self.conv.convolve(x, weight, shift[0] + self.conv.bias * scale[0])
        y = self.conv(x)
        return torch.addcmul(spread(shift, y, shares), y, spread(scale, y, shares))


class Block(nn.Module):
    """Residual block of two styled convolutions."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.first = StyledConv(width, width, code)
        self.second = StyledConv(width, width, code)
        with torch.no_grad():
            self.second.conv.weight.mul_(0.3)  # starts near the identity

    def forward(self, x: Tensor, code: Tensor, shares: Shares | None = None) -> Tensor:
        added: Tensor = self.second(F.relu_(self.first(x, code, shares)), code, shares)
        return added.add_(x)


class Strokes(nn.Module):
    """Adds noise to features, mixed by a 1x1 convolution and scaled by the style per channel."""

    def __init__(self, noise: int, width: int, code: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(noise, width, 1, bias=False)
        self.scale = nn.Linear(code, width)
        nn.init.normal_(self.mix.weight, std=noise**-0.5)
        nn.init.zeros_(self.scale.weight)
        nn.init.zeros_(self.scale.bias)

    def forward(
        self, x: Tensor, noise: Tensor, code: Tensor, shares: Shares | None = None
    ) -> Tensor:
        return torch.addcmul(x, self.mix(noise), spread(self.scale(code), x, shares))


class Decoder(nn.Module):
    """Normalised features and a style code -> picture (N,3,H,W), in 0..1 but for overshoot."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.code = nn.Sequential(nn.Linear(2 * (c.width4 + c.width8), c.code), nn.ReLU())
        self.strokes8 = Strokes(c.noise, c.width8, c.code)
        self.strokes4 = Strokes(c.noise, c.width4, c.code)
        self.blocks8 = nn.ModuleList(Block(c.width8, c.code) for _ in range(c.blocks8))
        self.to4 = nn.Conv2d(c.width8, c.width4, 1)
        self.blocks4 = nn.ModuleList(Block(c.width4, c.code) for _ in range(c.blocks4))
        self.to2 = nn.Conv2d(c.width4, c.width2, 1)
        self.conv2 = StyledConv(c.width2, c.width2, c.code)
        self.conv1 = StyledConv(c.width2, c.width2, c.code)
        self.rgb = Conv(c.width2, 3 * 4)
        self.enlarge: Callable[[Tensor], Tensor] = enlarge
        with torch.no_grad():  # the four pixels of a cell start equal: no checkerboard (ICNR)
            kernels = self.rgb.weight.mul_(0.1).view(3, 4, c.width2, 3, 3)
            kernels[:, 1:].copy_(kernels[:, :1].expand(-1, 3, -1, -1, -1))
            self.rgb.bias.fill_(0.45)  # type: ignore[union-attr]

    @property
    def reach(self) -> int:
        """Cells at 1/8 beyond its own that a cell of the picture depends on, rounded up."""
        reach = 2 * len(self.blocks8)
        reach = 2 * reach + 1 + 2 * len(self.blocks4)  # bilinear enlarging reaches one cell
        reach = 2 * reach + 1 + 3
        return -(-reach // 4)

    def forward(
        self,
        f4: Tensor,
        f8: Tensor,
        style: Style,
        noise: Noise,
        shares: Shares | None = None,
    ) -> Tensor:
        code = self.code(torch.cat(style, 1))
        x = self.strokes8(f8, noise[1], code, shares)
        for block in self.blocks8:
            x = block(x, code, shares)
        x = self.strokes4(f4 + self.enlarge(self.to4(F.relu_(x))), noise[0], code, shares)
        for block in self.blocks4:
            x = block(x, code, shares)
        x = self.enlarge(self.to2(F.relu_(x)))
        x = F.relu_(self.conv2(x, code, shares))
        x = F.relu_(self.conv1(x, code, shares))
        return F.pixel_shuffle(self.rgb(x), 2)


def enlarge(x: Tensor) -> Tensor:
    """(N,C,H,W) -> (N,C,2H,2W)."""
    # nearest would let the convolutions behind it draw a grid into flat areas
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class AdaIN(nn.Module):
    """Encoder, AdaIN at two depths, and decoder; a :class:`gentool.Model`."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or Config()
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AdaIN:
        # files from before there was encoder8 have none
        return cls(Config(**{"encoder8": 0, **config_values(config, LIMITS)}))

    def get_config(self) -> dict[str, Any]:
        return asdict(self.config)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def noise(
        self,
        features: Features,
        generator: torch.Generator | None = None,
        strength: float = 1.0,
    ) -> Noise:
        """Noise (N,noise,H/4,W/4), (N,noise,H/8,W/8).

        Drawn where ``generator`` is, on the CPU for equality anywhere; without one where the
        features are, so that a training does not wait for it.
        """
        device = features[0].device
        where = generator.device if generator else device
        f4, f8 = (
            torch.randn(
                (len(f), self.config.noise, *f.shape[2:]), generator=generator, device=where
            )
            for f in features
        )
        return f4.mul_(strength).to(device), f8.mul_(strength).to(device)

    def decode(
        self,
        features: Features,
        own: Style,
        target: Style,
        noise: Noise,
        shares: Shares | None = None,
    ) -> Tensor:
        """Features whose statistics are ``own`` -> picture with the statistics of ``target``.

        With ``shares``, both styles are those of K regions of one picture.
        """
        f4 = adain(features[0], own.mean4, own.std4, target.mean4, target.std4, shares)
        f8 = adain(features[1], own.mean8, own.std8, target.mean8, target.std8, shares)
        picture: Tensor = self.decoder(f4, f8, target, noise, shares)
        return picture

    def forward(self, content: Tensor, style: Tensor, alpha: float = 1.0) -> Tensor:
        """Stylise ``content`` (N,3,H,W in 0..1, sides multiples of 8) by ``style`` (N,3,h,w).

        ``alpha`` runs from 0 (the content) to 1 (all of the style), eq. 14 of the paper. The
        noise comes from PyTorch's global generator.
        """
        features = self.encoder(content)
        own, target = Style.of(features), Style.of(self.encoder(style))
        noise = self.noise(features, strength=alpha)
        return self.decode(features, own, own.towards(target, alpha), noise)
