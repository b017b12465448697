"""How AdaIN is trained: end to end, from scratch, with a frozen feature network as the loss."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from gentool.artifacts import Grid
from gentool.compute import Compute
from gentool.training import (
    Pictures,
    load_optimizer_state,
    optimizer_state,
    prefetch,
    random_crop,
)
from gentool_adain.nets import AdaIN
from gentool_adain.options import TrainOptions
from gentool_perceptual.features import Features
from gentool_perceptual.losses import ContentLoss, GramLoss, StatisticsLoss

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
PREVIEWS = 6
Batch = tuple[Tensor, Tensor]  # content and style, each (N,3,S,S) uint8


def keep_out_of_compiler(model: AdaIN) -> None:
    """Leave the bilinear upsampling to eager mode.

    Compiled by torch 2.13 for the CPU, its gradient in this network is silently zero. Not done
    where the function is defined: the decorator takes a second to import.
    """
    disable: Any = torch.compiler.disable
    model.decoder.enlarge = disable(model.decoder.enlarge)


class AdaINTrainer:
    """Encoder and decoder together; the target is the style's statistics in VGG-19's layers.

    Differs from the paper (section 5): no pre-trained encoder, content is compared with the
    content picture rather than with the AdaIN features, and a Gram term joins the statistics.
    The last content of a batch is its own style and must come back as it was.
    """

    def __init__(self, options: TrainOptions, compute: Compute) -> None:
        self.options, self.compute = options, compute
        self.photos = Pictures(options.content_data)
        self.paintings = Pictures(options.style_data)
        place: dict[str, Any] = {
            "device": compute.device,
            "memory_format": torch.channels_last,
        }
        self.features = Features.load(options.teacher, STYLE_LAYERS).to(**place)
        self.model = AdaIN().to(**place)
        self.content_loss = ContentLoss(("relu3_1", "relu4_1"))
        self.style_loss = StatisticsLoss(STYLE_LAYERS)
        self.gram_loss = GramLoss(("relu2_1", "relu3_1"))
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=options.learning_rate, betas=(0.9, 0.99)
        )
        self.steps = 0
        self.terms = self._terms
        if options.compile:
            keep_out_of_compiler(self.model)
            self.terms = torch.compile(self._terms)

    def batches(self, seed: int, start: int) -> Iterable[Batch]:
        return prefetch(lambda step: self._batch(random.Random(f"{seed} {step}")), start)

    def _batch(self, rng: random.Random) -> Batch:
        o = self.options
        sides = (o.smallest_side, o.largest_side)

        def crops(pictures: Pictures) -> Tensor:
            drawn = (pictures.draw(rng) for _ in range(o.batch_size))
            return torch.stack([random_crop(p, o.crop_size, sides, rng) for p in drawn])

        return crops(self.photos), crops(self.paintings)

    def _terms(self, content: Tensor, style: Tensor) -> dict[str, Tensor]:
        with self.compute.autocast():
            output = self.model(content, style)
            with torch.no_grad():
                of_content, of_style = self.features(content), self.features(style)
            of_output = self.features(output.contiguous(memory_format=torch.channels_last))
        output = output.float()
        return {
            **self.content_loss(of_output, of_content),
            **self.style_loss(of_output, of_style),
            **self.gram_loss(of_output, of_style),
            "range": (output - output.clamp(0, 1)).abs().mean(),
            "identity": (output[-1] - content[-1]).abs().mean(),
            "pixels": (output - content).abs().mean(),
        }

    def step(self, batch: Batch, progress: float) -> Mapping[str, float]:
        o = self.options
        content, style = (self._to_float(pictures) for pictures in batch)
        warming_up = self.steps < o.warm_up
        style = content if warming_up else torch.cat([style[:-1], content[-1:]])
        terms = self.terms(content, style.contiguous(memory_format=torch.channels_last))
        total = (
            terms["content"]
            + o.style_weight * terms["style"]
            + o.gram_weight * terms["gram"]
            + o.range_weight * terms["range"]
            + (20 * terms["pixels"] if warming_up else o.identity_weight * terms["identity"])
        )
        cosine = o.final_rate + (1 - o.final_rate) * (1 + math.cos(math.pi * progress)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = o.learning_rate * cosine * min(1, (self.steps + 1) / 100)
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.steps += 1
        return {name: term.item() for name, term in terms.items()} | {"gradient": norm.item()}

    def _to_float(self, pictures: Tensor) -> Tensor:
        moved = pictures.to(self.compute.device, non_blocking=True)
        return moved.contiguous(memory_format=torch.channels_last).float() / 255

    def preview(self) -> list[Grid]:
        """Content, style and result, a column each, of the same pictures every time."""
        content, style = (self._to_float(p) for p in self._batch(random.Random("preview")))
        with self.compute.autocast():
            result = self.model(content, style).float().clamp(0, 1)
        columns = [c[:PREVIEWS] for c in (content, style, result)]
        return [Grid([t for column in columns for t in column], columns=len(columns[0]))]

    def state(self) -> Mapping[str, Tensor]:
        nets = {f"net.{name}": tensor for name, tensor in self.model.state_dict().items()}
        return nets | optimizer_state(self.optimizer) | {"steps": torch.tensor(self.steps)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        nets = {n.removeprefix("net."): t for n, t in state.items() if n.startswith("net.")}
        self.model.load_state_dict(nets)
        load_optimizer_state(self.optimizer, state)
        self.steps = int(state["steps"])
