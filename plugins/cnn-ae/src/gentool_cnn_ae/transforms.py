"""Analysis and synthesis: between pictures and latents at 1/16 of their size.

Both add what a deep network finds to what a linear transform gives. Pictures are first
rearranged from space to depth, so that dense convolutions run at 1/4 of the size and below.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gentool_cnn_ae.basis import STRIDE, spectrum, unshuffled

UNIT = 16 / 255  # of latents, in pixel values 0..1


def activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """A convolution with zero padding, its weights drawn after He et al. 2015 times ``gain``."""
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2)
    nn.init.normal_(layer.weight, std=gain * (2 / (inputs * size * size)) ** 0.5)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def mixed(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """A 1x1 convolution whose sums do not depend on the number of threads.

    oneDNN splits sums over many channels by the threads there are, so they are split here.
    """
    weights = torch.split(layer.weight, 128, 1)
    found: Tensor = F.conv2d(x[:, : weights[0].shape[1]], weights[0], layer.bias)
    for i, weight in enumerate(weights[1:], 1):
        found = found + F.conv2d(x[:, 128 * i : 128 * i + weight.shape[1]], weight)
    return found


def _float32(x: Tensor) -> torch.autocast:
    """For the linear paths: bfloat16 would round their largest values by more than a step."""
    return torch.autocast(x.device.type, enabled=False)


class Block(nn.Module):
    """Residual block of two 3x3 convolutions, near the identity at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(width, width)
        self.second = conv(width, width, gain=0.2)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.second(activate(self.first(activate(x))))
        return x + added


class Encoder(nn.Module):
    """Pictures (N,3,H,W) in 0..1 and noise levels (N,) -> latents (N,latents,H/16,W/16).

    Sides are multiples of 16. The noise level is the deviation, 0..1, of the Gaussian noise to
    remove; 0 for none.
    """

    REACH = 4  # positions around one that its latents depend on: 2 at 1/16, 3 at 1/8, 2 at 1/4

    def __init__(self, widths: tuple[int, int, int], latents: int) -> None:
        super().__init__()
        wide4, wide8, wide16 = widths
        self.stem = conv(3 * 16 + 1, wide4)
        self.down8 = conv(wide4, wide8, stride=2)
        self.block8 = Block(wide8)
        self.down16 = conv(wide8, wide16, stride=2)
        self.block16 = Block(wide16)
        self.latents = conv(wide16, latents, 1, gain=0.1)
        self.linear = nn.Conv2d(3 * STRIDE**2, latents, 1, bias=False)
        functions, _ = spectrum(latents)
        with torch.no_grad():
            self.linear.weight.copy_(unshuffled(functions)[:, :, None, None])

    def forward(self, pictures: Tensor, noise: Tensor) -> Tensor:
        x = F.pixel_unshuffle(pictures - 0.5, 4)  # (N,48,H/4,W/4)
        level = (noise * 16)[:, None, None, None].expand(-1, 1, *x.shape[2:])
        deep = self.stem(torch.cat([x * 4, level], 1))
        deep = self.block8(self.down8(activate(deep)))
        deep = self.block16(self.down16(activate(deep)))
        with _float32(x):
            found = mixed(F.pixel_unshuffle(x, 4).float() / UNIT, self.linear)
        nonlinear: Tensor = self.latents(activate(deep))
        return found + nonlinear


class Decoder(nn.Module):
    """Latents (N,latents,h,w) and quality levels (N,) from 0 -> pictures (N,3,16h,16w)."""

    REACH = 5  # positions around one that its pixels depend on: 2 at 1/16, 4 at 1/8, 3 at 1/4

    def __init__(self, widths: tuple[int, int, int], latents: int, levels: int) -> None:
        super().__init__()
        wide4, wide8, wide16 = widths
        self.latents = conv(latents, wide16, 1)
        self.level = nn.Embedding(levels, wide16)
        self.block16 = Block(wide16)
        self.up8 = conv(wide16, 4 * wide8, 1)
        self.blocks8 = nn.Sequential(Block(wide8), Block(wide8))
        self.up4 = conv(wide8, 4 * wide4, 1)
        self.block4 = Block(wide4)
        self.pixels = conv(wide4, 3 * 16, gain=0.02)
        self.linear = nn.Conv2d(latents, 3 * STRIDE**2, 1, bias=False)
        functions, deviations = spectrum(latents)
        nn.init.zeros_(self.level.weight)
        with torch.no_grad():
            self.linear.weight.copy_(unshuffled(functions).T[:, :, None, None])
        # a network learns badly from inputs whose sizes differ a hundredfold
        self.register_buffer("spread", 1 / deviations.clamp_min(0.5)[:, None, None])
        self.spread: Tensor

    def forward(self, latents: Tensor, levels: Tensor) -> Tensor:
        x = mixed(latents * self.spread, self.latents) + self.level(levels)[:, :, None, None]
        x = F.pixel_shuffle(self.up8(activate(self.block16(x))), 2)
        x = F.pixel_shuffle(self.up4(activate(self.blocks8(x))), 2)
        x = self.pixels(activate(self.block4(x)))
        with _float32(x):
            x = x + F.pixel_shuffle(mixed(latents.float(), self.linear), 4)
        return F.pixel_shuffle(x * UNIT, 4) + 0.5
