"""How far a stylised picture is from its content and from its style."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gentool.images import resize, to_size
from gentool.progress import Progress
from gentool.similarity import ssim
from gentool_perceptual.features import Features, networks
from gentool_perceptual.losses import ContentLoss, GramLoss, StatisticsLoss

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")


class Distances:
    """Distances in the features of VGG-19 or of a network that stands in for it.

    content  |f(o) - f(c)|^2 / |f(c)|^2, mean of two layers: relu4_1 and, where the network has it,
             relu3_4, else relu3_1
    style    |s(o) - s(s)|^2 / |s(s)|^2 of channel means and deviations (Huang & Belongie 2017, eq.
             13), mean of relu1_1 ... relu4_1
    gram     the same of Gram matrices (Gatys et al. 2016)
    ssim     of the luma of output and content (Wang et al. 2004): 1 for equal pictures

    Args:
        features: names or safetensors files of feature networks; each layer comes from the first
            that has it.
        progress: told of a download.

    Raises:
        WeightsError: a network cannot be read, or a layer is missing.
    """

    def __init__(self, features: Sequence[str | Path], progress: Progress | None = None) -> None:
        nets = networks(features, progress)
        deeper = "relu3_4" if any("relu3_4" in net.layers for net in nets) else "relu3_1"
        self.content_layers = (deeper, "relu4_1")
        self.features = Features(nets, dict.fromkeys([*STYLE_LAYERS, deeper]))

    @torch.no_grad()
    def __call__(self, output: Tensor, content: Tensor, style: Tensor) -> dict[str, float]:
        """Figures of an output, all pictures (3,H,W) in 0..1.

        All are looked at in the output's size: the content is brought to it, and the style's long
        side to its long side.

        Raises:
            UsageError: one is too small for the features.
        """
        content = to_size(content, output.shape[1:])
        style = resize(style, max(output.shape[1:]))
        o, c, s = (self.features(picture[None]) for picture in (output, content, style))
        found = {
            **ContentLoss(self.content_layers)(o, c),
            **StatisticsLoss(STYLE_LAYERS)(o, s),
            **GramLoss(STYLE_LAYERS)(o, s),
            "ssim": ssim(output[None], content[None]),
        }
        return {name: float(value) for name, value in found.items()}
