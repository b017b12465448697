"""Feature networks with the layer names of VGG-19 (Simonyan & Zisserman 2014), frozen.

Three layouts are read, told apart by their keys:

* the compact network of :mod:`gentool_perceptual.compact`, which this plugin packages;
* the plain VGG-19 convolutions ``conv1_1`` ... (zero padding, 3x3), as many as the file holds, and
  the ``mean`` of their pictures where it is not that of the published VGG-19;
* a distilled VGG-19 with narrow convolutions (reflection padding), a 1x1 ``input`` convolution
  that holds the normalisation, and 1x1 heads ``to_vggX_1`` that predict VGG-19's own reluX_1
  (Wang et al., "Collaborative Distillation for Ultra-Resolution Universal Style Transfer", 2020).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gentool import UsageError, WeightsError, weights
from gentool.errors import did_you_mean
from gentool.progress import Progress
from gentool_perceptual.compact import LAYERS, Compact, CompactNet
from gentool_perceptual.plugin import CARD

CONVOLUTIONS = (
    *("1_1", "1_2", "2_1", "2_2"),
    *("3_1", "3_2", "3_3", "3_4"),
    *("4_1", "4_2", "4_3", "4_4"),
    *("5_1", "5_2", "5_3", "5_4"),
)
PACKAGED = "perceptual"
VGG19 = "vgg19"
Source: TypeAlias = str | Path


class FeatureNet(nn.Module):
    """VGG-19-shaped features of a picture, from one weights file.

    Args:
        tensors: the file's tensors, ``convB_I.weight`` / ``.bias`` in OIHW order.

    Raises:
        WeightsError: the tensors are neither VGG-19's nor a distilled VGG-19's.
    """

    mean: Tensor

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.distilled = "input.weight" in tensors
        self.names = [n for n in CONVOLUTIONS if f"conv{n}.weight" in tensors]
        if not self.names or tuple(self.names) != CONVOLUTIONS[: len(self.names)]:
            raise WeightsError(
                "not a VGG-19 feature network: expected tensors conv1_1.weight, conv1_1.bias, "
                "conv1_2.weight ... without gaps"
            )
        # [123.68, 116.779, 103.939] is the training mean of the published VGG-19, RGB, 0..255
        mean = tensors.get("mean", torch.tensor([123.68, 116.779, 103.939]))
        if mean.numel() != 3:
            raise WeightsError("not a VGG-19 feature network: its mean must be three numbers")
        self.register_buffer("mean", mean.float().view(1, 3, 1, 1))
        channels = 3
        if self.distilled:
            channels = self._add("input", tensors, 3, 1)
        for name in self.names:
            channels = self._add(f"conv{name}", tensors, channels, 3)
            if self.distilled and f"to_vgg{name}.weight" in tensors:
                self._add(f"to_vgg{name}", tensors, channels, 1)
        self.eval().requires_grad_(False)

    def _add(self, name: str, tensors: Mapping[str, Tensor], channels: int, size: int) -> int:
        """Add a convolution from the file, whose other tensors are none of ours; its channels."""
        weight, bias = (tensors.get(f"{name}.{part}") for part in ("weight", "bias"))
        if (
            weight is None
            or bias is None
            or weight.dim() != 4
            or weight.shape != (*bias.shape, channels, size, size)
        ):
            raise WeightsError(
                f"not a VGG-19 feature network: {name} must be a {size}x{size} convolution of "
                f"{channels} channels, with a bias"
            )
        # the distilled one reflects the picture at its edges
        padding = 0 if self.distilled else size // 2
        conv = nn.Conv2d(channels, len(bias), size, padding=padding)
        conv.load_state_dict({"weight": weight, "bias": bias})
        self.add_module(name, conv)
        return len(bias)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers this network can give, shallow to deep."""
        return tuple(
            f"relu{n}" for n in self.names if not self.distilled or hasattr(self, f"to_vgg{n}")
        )

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Features of ``image`` (N,3,H,W in 0..1), one (N,C,h,w) tensor per name in ``layers``.

        Raises:
            UsageError: the picture is too small for the deepest of them.
            WeightsError: there is no such layer.
        """
        wanted = set(layers)
        self._check_size(image, wanted)
        found: dict[str, Tensor] = {}
        h = self.get_submodule("input")(image) if self.distilled else image * 255 - self.mean
        for name in self.names:
            if name.endswith("_1") and name != "1_1":
                h = F.max_pool2d(h, 2)
            if self.distilled:
                # one row or column has nothing to reflect
                h = F.pad(h, (1, 1, 1, 1), mode="reflect" if min(h.shape[2:]) > 1 else "replicate")
            h = F.relu_(self.get_submodule(f"conv{name}")(h))
            if f"relu{name}" in wanted:
                head = f"to_vgg{name}"
                found[f"relu{name}"] = F.relu_(self.get_submodule(head)(h)) if self.distilled else h
            if len(found) == len(wanted):
                return found
        missing = sorted(wanted - set(found))
        raise WeightsError(f"the feature network has no layer {', '.join(missing)}")

    def _check_size(self, image: Tensor, wanted: set[str]) -> None:
        """Refuse a picture that halving leaves nothing of."""
        deepest = [name for name in self.names if f"relu{name}" in wanted][-1:]
        side = 2 ** (int(deepest[0][0]) - 1) if deepest else 1
        height, width = image.shape[2:]
        if min(height, width) < side:
            raise UsageError(
                f"a picture of {width} x {height} pixels is too small for the features of "
                f"relu{deepest[0]}: both sides must be at least {side}"
            )


class Features(nn.Module):
    """Named layers, each taken from the first of several networks that has it.

    Giving the exact VGG-19 up to relu3_4 first and a distilled one second yields exact shallow
    layers and approximate deep ones.
    """

    def __init__(self, nets: Sequence[FeatureNet | CompactNet], layers: Iterable[str]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.plan: list[tuple[int, list[str]]] = []
        left = list(layers)
        for i, net in enumerate(nets):
            mine = [layer for layer in left if layer in net.layers]
            left = [layer for layer in left if layer not in mine]
            if mine:
                self.plan.append((i, mine))
        if left:
            known = dict.fromkeys(layer for net in nets for layer in net.layers)
            raise WeightsError(
                f"no feature network given has layer {', '.join(left)}; "
                f"there are {', '.join(known)}"
            )
        moved: Any = self  # the stubs of Module.to lack memory_format
        moved.to(memory_format=torch.channels_last)

    @classmethod
    def load(
        cls,
        sources: Source | Sequence[Source] = (PACKAGED,),
        layers: Iterable[str] = LAYERS[:4],
        progress: Progress | None = None,
    ) -> Features:
        """Build from networks by name or file, in channels-last memory.

        Args:
            sources: ``perceptual`` for the packaged network, ``vgg19`` for torchvision's VGG-19
                (fetched at its first use), or safetensors files; see the module docstring for
                what they may hold. One stands for a list of one.
            layers: the layers to give.
            progress: told of a download and how far it is.

        Raises:
            WeightsError: there is no such network, a file is missing or damaged, or no network
                has one of the layers.
        """
        return cls(networks(sources, progress), layers)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Features of ``image`` (N,3,H,W in 0..1) by layer name."""
        found: dict[str, Tensor] = {}
        for i, layers in self.plan:
            found.update(self.nets[i](image, layers))
        return found


def networks(
    sources: Source | Sequence[Source], progress: Progress | None = None
) -> list[FeatureNet | CompactNet]:
    """Feature networks by name or file, as :meth:`Features.load` takes them; raises the same."""
    given = [sources] if isinstance(sources, str | Path) else sources
    return [_network(source, progress) for source in given]


def _network(source: Source, progress: Progress | None) -> FeatureNet | CompactNet:
    if str(source) == VGG19:  # options give names as paths
        from gentool_perceptual import vgg19

        source = vgg19.fetch(progress)
    path = weights.find(CARD, None) if str(source) == PACKAGED else _file(str(source))
    if weights.read_header(path).metadata.get("method") == CARD.name:
        return weights.load(Compact, path, CARD.name).net
    return FeatureNet(weights.read_tensors(path))


def _file(source: str) -> Path:
    """A network's file by its path; a word that is none is a name mistyped."""
    if re.fullmatch(r"[\w-]+", source) and not os.path.exists(source):
        hint = did_you_mean(source, (PACKAGED, VGG19))
        raise WeightsError(
            f"no feature network '{source}'{hint} (there are {PACKAGED} and {VGG19}; a file of "
            "your own is given by its path)"
        )
    return weights.find(CARD, source)
