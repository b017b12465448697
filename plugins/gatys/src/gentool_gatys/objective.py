"""The loss of Gatys et al. 2016 and its exact gradient, of the whole picture or tile by tile.

    total = content_weight * content + style_weight * style + l2_weight * l2 + tv_weight * tv

``content`` and ``style`` are relative to their targets, so weights mean the same at every size.

Gram matrices add up over positions. In tiles, a first pass therefore sums them over all tiles
without a gradient; the derivative of the loss by each Gram matrix is then a small constant matrix,
with which a second pass takes each tile's pixels to the gradient that the whole picture would get.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool.compute import Compute
from gentool_gatys.tiles import Tile, cover, reach, stride
from gentool_perceptual.features import Features
from gentool_perceptual.losses import L2Loss, TotalVariationLoss, gram

Grams = dict[str, Tensor]  # (1,C,C) by layer
SMALLEST_TILE = 128  # pixels; what surrounds it is 5 times as large already


@dataclass(frozen=True)
class Weights:
    """What the terms weigh in the total, and the layers in their terms (shares, summing to 1)."""

    content: Mapping[str, float]
    style: Mapping[str, float]
    content_weight: float = 1.0
    style_weight: float = 20.0
    l2_weight: float = 0.0
    tv_weight: float = 0.0


@dataclass(frozen=True)
class Region:
    """A style and where it applies.

    Attributes:
        grams: its Gram matrices, the target.
        mask: (1,1,H,W) in 0..1, or None for everywhere.
        share: of the style term.
    """

    grams: Grams
    mask: Tensor | None = None
    share: float = 1.0


class Seen:
    """A feature network's view of pictures: maps of parts, Gram matrices of wholes."""

    def __init__(self, features: Features, compute: Compute, side: int = 0) -> None:
        self.features, self.compute, self.side = features, compute, side

    def maps(self, part: Tensor) -> dict[str, Tensor]:
        """Feature maps of (1,3,h,w) by layer."""
        with self.compute.autocast():
            found: dict[str, Tensor] = self.features(
                part.contiguous(memory_format=self.compute.layout)
            )
        return found

    def cover(self, image: Tensor, layers: Iterable[str]) -> list[Tile]:
        """The tiles in which (1,C,H,W) is looked at for these layers."""
        return cover(image, self.side, reach(layers))

    def grams(self, image: Tensor, layers: Sequence[str]) -> Grams:
        """Gram matrices of a picture (1,3,H,W), without a gradient."""
        found: Grams = {}
        positions = dict.fromkeys(layers, 0)
        with torch.no_grad():
            for tile in self.cover(image, layers):
                maps = self.maps(tile.of(image))
                for name in layers:
                    core = tile.own(maps[name], name)
                    count = core.shape[2] * core.shape[3]
                    if count:  # a last tile of fewer pixels than a cell has none of its own
                        found[name] = found.get(name, 0) + gram(core) * count
                        positions[name] += count
        return {name: g / positions[name] for name, g in found.items()}

    def content(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Feature maps of a whole picture whose sides are multiples of 16, put together."""
        found: dict[str, Tensor] = {}
        with torch.no_grad():
            for tile in self.cover(image, layers):
                maps = self.maps(tile.of(image))
                for name in layers:
                    core = tile.own(maps[name], name)
                    if name not in found:
                        size = [n // stride(name) for n in image.shape[2:]]
                        found[name] = core.new_empty(1, core.shape[1], *size)
                    tile.whole(found[name], name).copy_(core)
        return found


class Objective:
    """Loss and gradient of a picture.

    Args:
        seen: the network.
        content: (1,3,H,W) in 0..1, what the result must still show; sides are multiples of 16.
        regions: styles and where they apply.
        weights: of everything.
    """

    def __init__(
        self, seen: Seen, content: Tensor, regions: Sequence[Region], weights: Weights
    ) -> None:
        self.seen, self.image, self.regions, self.weights = seen, content, list(regions), weights
        self.tiles = self._cover()
        self.content = seen.content(
            content, list(weights.content) if weights.content_weight else []
        )
        self.content_norm = {  # half precision overflows or rounds
            n: f.float().square().sum().clamp_min(1e-12) for n, f in self.content.items()
        }
        self.masks = [self._mask(region) for region in self.regions]

    def halve_tiles(self) -> bool:
        """Take smaller tiles, for less memory; False where they are as small as is sensible."""
        side = (self.seen.side or max(self.image.shape[2:])) // 2
        if side < SMALLEST_TILE:
            return False
        self.seen.side = side
        self.tiles = self._cover()
        return True

    def _cover(self) -> list[Tile]:
        return self.seen.cover(self.image, [*self.weights.content, *self.weights.style])

    def _mask(self, region: Region) -> dict[str, Tensor | None]:
        """Square root of the share that every position has in a Gram matrix, by layer."""
        if region.mask is None:
            return dict.fromkeys(self.weights.style)
        found: dict[str, Tensor | None] = {}
        for name in self.weights.style:
            size = [n // stride(name) for n in self.image.shape[2:]]
            mask = F.interpolate(region.mask, size, mode="area")
            found[name] = (mask / mask.sum().clamp_min(1e-12)).sqrt()
        return found

    def __call__(self, image: Tensor) -> tuple[dict[str, float], Tensor]:
        """Named weighted terms with their ``total``, and the gradient of that, (1,3,H,W)."""
        leaf = image.detach().clone().requires_grad_()
        terms = self._pixels(leaf)
        if len(self.tiles) == 1:
            terms |= self._of_features(leaf)
            (gradient,) = torch.autograd.grad(_total(terms), leaf)
            return _numbers(terms), gradient
        gradient = torch.zeros_like(leaf)
        if terms:
            (gradient,) = torch.autograd.grad(_total(terms), leaf)
        with torch.no_grad():
            grams = self._grams(image)
        style, slopes = self._slopes(grams)
        content = torch.zeros_like(style)
        for tile in self.tiles:
            part = tile.of(leaf.detach()).clone().requires_grad_()
            maps = self.seen.maps(part)
            mine = self._content(maps, tile)
            pairs = zip(slopes, self._partial(maps, tile), strict=True)
            along = [(slope[n] * g[n]).sum() for slope, g in pairs for n in slope]
            total = mine + torch.stack(along).sum() if along else mine
            (grad,) = torch.autograd.grad(total, part)
            tile.of(gradient).add_(grad)
            content += mine.detach()
        return _numbers(terms | {"content": content, "style": style}), gradient

    def terms(self, image: Tensor) -> dict[str, float]:
        """Named weighted terms with their ``total`` of a picture (1,3,H,W)."""
        with torch.no_grad():
            content = image.new_zeros(())
            for tile in self.tiles:
                content = content + self._content(self.seen.maps(tile.of(image)), tile)
            style = self._style(self._grams(image))
            return _numbers(self._pixels(image) | {"content": content, "style": style})

    def _of_features(self, image: Tensor) -> dict[str, Tensor]:
        (tile,) = self.tiles
        maps = self.seen.maps(image)
        style = self._style(self._partial(maps, tile))
        return {"content": self._content(maps, tile), "style": style}

    def _pixels(self, image: Tensor) -> dict[str, Tensor]:
        found, w = {}, self.weights
        if w.l2_weight:
            found["l2"] = w.l2_weight * L2Loss()(image, self.image)["l2"]
        if w.tv_weight:
            found["tv"] = w.tv_weight * TotalVariationLoss()(image)["total-variation"]
        return found

    def _content(self, maps: Mapping[str, Tensor], tile: Tile) -> Tensor:
        """A tile's part of the content term."""
        w = self.weights
        total = self.image.new_zeros(())
        for name, target in self.content.items():
            moved = tile.own(maps[name], name).float() - tile.whole(target, name).float()
            share = w.content_weight * w.content[name] / self.content_norm[name]
            total = total + share * moved.square().sum()
        return total

    def _partial(self, maps: Mapping[str, Tensor], tile: Tile) -> list[Grams]:
        """A tile's part of the Gram matrices of every region."""
        found: list[Grams] = []
        for masks in self.masks:
            grams: Grams = {}
            for name, mask in masks.items():
                core = tile.own(maps[name], name)
                count = core.shape[2] * core.shape[3]
                if mask is None:
                    whole = self.image.shape[2] * self.image.shape[3] / stride(name) ** 2
                    grams[name] = gram(core) * (count / whole)
                else:
                    grams[name] = gram(core.float() * tile.whole(mask, name)) * count
            found.append(grams)
        return found

    def _grams(self, image: Tensor) -> list[Grams]:
        sums: list[Grams] = [{} for _ in self.regions]
        for tile in self.tiles:
            for total, part in zip(
                sums, self._partial(self.seen.maps(tile.of(image)), tile), strict=True
            ):
                for name, g in part.items():
                    total[name] = total[name] + g if name in total else g
        return sums

    def _style(self, grams: Sequence[Grams]) -> Tensor:
        w = self.weights
        total = self.image.new_zeros(())
        for region, mine in zip(self.regions, grams, strict=True):
            for name, g in mine.items():
                target = region.grams[name]
                share = w.style_weight * region.share * w.style[name]
                total = total + share * (g - target).square().sum() / target.square().sum()
        return total

    def _slopes(self, grams: Sequence[Grams]) -> tuple[Tensor, list[Grams]]:
        """The style term and its derivative by every Gram matrix."""
        leaves = [{n: g.requires_grad_() for n, g in region.items()} for region in grams]
        flat = [g for region in leaves for g in region.values()]
        style = self._style(leaves)
        found = iter(torch.autograd.grad(style, flat)) if flat else iter(())
        return style.detach(), [{n: next(found) for n in region} for region in leaves]


def _total(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def _numbers(terms: Mapping[str, Tensor]) -> dict[str, float]:
    found = {name: term.item() for name, term in terms.items()}
    return found | {"total": sum(found.values())}
