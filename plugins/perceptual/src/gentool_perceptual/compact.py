"""A compact feature network that stands in for VGG-19, distilled from it by this project.

    picture ── conv 3x3 ─────────────────────────────── relu1_1   64 channels, full size
       └─ space-to-depth 2 ─ 2 convs ─┬─ 1x1 ────────── relu2_1  128 channels, 1/2
                       stride 2 conv, conv ─┬─ 1x1 ──── relu3_1  256 channels, 1/4
                             stride 2 conv, conv ─┬─ 1x1  relu4_1  512 channels, 1/8
                                   stride 2 conv, conv ─ 1x1  relu5_1  512 channels, 1/16

Channel counts and magnitudes are those of VGG-19, so distances are comparable with its own. Its
costly convolutions, conv1_2 to conv5_1, are replaced by narrow ones that start at half the size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gentool import WeightsError
from gentool.weights import config_values

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CHANNELS = (64, 128, 256, 512, 512)
MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)  # of VGG-19's training pictures, RGB


@dataclass(frozen=True)
class Config:
    """Widths of the narrow convolutions at 1/2, 1/4, 1/8 and 1/16 of the picture's size."""

    width2: int = 64
    width4: int = 96
    width8: int = 128
    width16: int = 160


LIMITS = dict.fromkeys(("width2", "width4", "width8", "width16"), (1, 1024))


class Conv(nn.Conv2d):
    """3x3 convolution that repeats the edge: no dark frame, and pictures of any size."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, stride)
        nn.init.kaiming_normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_framed(x))


def _framed(x: Tensor) -> Tensor:
    """The edge repeated once all around."""
    if not torch.compiler.is_compiling():
        return F.pad(x, (1, 1, 1, 1), mode="replicate")
    # torch 2.13's compiler takes the gradient of that for another layout than it has
    x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)
    return torch.cat([x[..., :1], x, x[..., -1:]], 3)


class Stage(nn.Module):
    """Two narrow convolutions and a 1x1 head that predicts a layer of VGG-19."""

    def __init__(self, in_channels: int, width: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = Conv(in_channels, width, stride)
        self.second = Conv(width, width)
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))))


class CompactNet(nn.Module):
    """Pictures (N,3,H,W) in 0..1 -> named layers, each (N,C,h,w)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        c = config or Config()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.ones(len(LAYERS)))  # of the teacher's layers
        self.shallow = nn.Conv2d(3, CHANNELS[0], 3, padding=1)  # zeros around, as VGG-19 has
        widths = (12, c.width2, c.width4, c.width8, c.width16)
        self.stages = nn.ModuleList(
            Stage(widths[i], widths[i + 1], CHANNELS[i + 1], 1 if i == 0 else 2) for i in range(4)
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers this network can give, shallow to deep."""
        return LAYERS

    def forward(self, image: Tensor, layers: Iterable[str] = LAYERS) -> dict[str, Tensor]:
        """Features of ``image`` by layer name; nothing deeper than the last wanted is computed."""
        wanted = set(layers)
        if missing := sorted(wanted - set(LAYERS)):
            raise WeightsError(f"the compact feature network has no layer {', '.join(missing)}")
        x = (image - self.mean) * 4  # variance near 1
        found: dict[str, Tensor] = {}
        if "relu1_1" in wanted:
            found["relu1_1"] = self._scaled(self.shallow, x, 0)
        if x.shape[2] % 2 or x.shape[3] % 2:
            x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
        h = F.pixel_unshuffle(x, 2)
        for i, (name, stage) in enumerate(zip(LAYERS[1:], self.stages, strict=True), 1):
            if len(found) == len(wanted):
                break
            h = stage(h)
            if name in wanted:
                found[name] = self._scaled(stage.head, h, i)  # type: ignore[arg-type]
        return found

    def _scaled(self, conv: nn.Conv2d, x: Tensor, layer: int) -> Tensor:
        """ReLU of a convolution, times the layer's scale: taken into the weights, which are few."""
        assert conv.bias is not None
        scale = self.scale[layer]
        return F.relu(F.conv2d(x, conv.weight * scale, conv.bias * scale, padding=conv.padding))


class Compact(nn.Module):
    """The compact network as a :class:`gentool.Model`."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or Config()
        self.net = CompactNet(self.config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Compact:
        return cls(Config(**config_values(config, LIMITS)))

    def get_config(self) -> dict[str, Any]:
        return asdict(self.config)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"net": self.net}
