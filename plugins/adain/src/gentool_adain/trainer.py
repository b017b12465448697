"""How AdaIN is trained: end to end, from scratch, with a frozen feature network as the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gentool import Trainer, TrainingError
from gentool.artifacts import Grid
from gentool.progress import Notes
from gentool.training import Batch, Moment, Pictures, ScaleCrop, Setup, Update
from gentool_adain.distances import STYLE_LAYERS
from gentool_adain.nets import AdaIN
from gentool_adain.options import TrainOptions
from gentool_perceptual.features import Features
from gentool_perceptual.losses import ContentLoss, GramLoss, StatisticsLoss

PIXELS = 20.0  # weight of reproducing the content in the first steps, which learn nothing else
PREVIEWS = 6


def keep_out_of_compiler(model: AdaIN) -> None:
    """Leave the bilinear upsampling to eager mode.

    Compiled by torch 2.13 for the CPU, its gradient in this network is silently zero. Not done
    where the function is defined: the decorator takes a second to import.
    """
    disable: Any = torch.compiler.disable
    model.decoder.enlarge = disable(model.decoder.enlarge)


class AdaINTrainer(Trainer):
    """Encoder and decoder together; the target is the style's statistics in VGG-19's layers.

    Differs from the paper (section 5): no pre-trained encoder, content is compared with the
    content picture rather than with the AdaIN features, and a Gram term joins the statistics.
    The last content of a batch is its own style and must come back as it was. With several
    ``pairings``, content k is painted in style k, k-1, ..., and all of them share the features of
    contents and styles, which cost as much as those of the results.
    """

    def __init__(self, options: TrainOptions, setup: Setup) -> None:
        if setup.plan.batch_size < 2:
            raise TrainingError(
                "--batch-size: must be at least 2, got 1: the last picture is its own style"
            )
        if options.pairings > setup.plan.batch_size:
            raise TrainingError(
                f"--pairings: must be at most --batch-size, {setup.plan.batch_size}, "
                f"got {options.pairings}"
            )
        self.options, self.setup = options, setup
        crop = ScaleCrop(options.crop_size, (options.smallest_side, options.largest_side))
        self.datasets = (
            Pictures(setup.plan.data, crop),
            Pictures([str(path) for path in options.style_data], crop, flag="--style-data"),
        )
        layers = dict.fromkeys([*STYLE_LAYERS, *options.content_layers])  # each once, in order
        teacher = Features.load(options.teacher, layers, Notes(setup.note))
        self.features = setup.place(teacher)
        self.model = setup.place(AdaIN())
        self.content_loss = ContentLoss(options.content_layers)
        self.style_loss = StatisticsLoss(STYLE_LAYERS)
        self.gram_loss = GramLoss(("relu2_1", "relu3_1"))
        optimizer = torch.optim.Adam(
            self.model.parameters(), lr=options.learning_rate, betas=(0.9, 0.99)
        )
        self.updates = (Update(self.model.networks, optimizer, self.loss),)
        if setup.plan.compile:
            keep_out_of_compiler(self.model)
        self.terms = setup.compile(self._terms)

    def loss(self, moment: Moment, photos: Batch, paintings: Batch) -> tuple[Tensor, Any]:
        """The weighted sum of all terms; the first steps only learn to reproduce the content."""
        o = self.options
        content, style = photos.pictures, paintings.pictures
        reproducing = moment.step < o.reproduce_steps
        style, pairings = (content, 1) if reproducing else (style, o.pairings)
        terms = self.terms(content, style, pairings)
        total = (
            terms["content"]
            + o.style_weight * terms["style"]
            + o.gram_weight * terms["gram"]
            + o.range_weight * terms["range"]
            + (PIXELS * terms["pixels"] if reproducing else o.identity_weight * terms["identity"])
        )
        return total, terms

    def _terms(self, content: Tensor, style: Tensor, pairings: int) -> Mapping[str, Tensor]:
        contents, styles = torch.cat([content] * pairings), _paired(style, content, pairings)
        with self.setup.autocast():
            output = self.model(contents, styles.contiguous(memory_format=self.setup.layout))
            with torch.no_grad():
                of_content, of_style = self.features(content), self.features(style)
            of_output = self.features(output.contiguous(memory_format=self.setup.layout))
        of_contents = {n: torch.cat([of_content[n]] * pairings) for n in self.content_loss.layers}
        last = {name: maps[-1:] for name, maps in of_content.items()}  # its own style
        distances = {}
        for name, loss in {"style": self.style_loss, "gram": self.gram_loss}.items():
            asked, own = loss.summary(of_style), loss.summary(last)
            paired = {layer: _paired(asked[layer], own[layer], pairings) for layer in asked}
            distances[name] = loss.compare(loss.summary(of_output), paired)
        output = output.float()
        return {
            **self.content_loss(of_output, of_contents),
            **distances,
            "range": (output - output.clamp(0, 1)).abs().mean(),
            "identity": (output[len(content) - 1] - content[-1]).abs().mean(),
            "pixels": (output - contents).abs().mean(),
        }

    def preview(self) -> list[Grid]:
        """Content, style and result, a row each, of the same pictures every time."""
        count = min(PREVIEWS, *map(len, self.datasets))
        content, style = (pictures.sample(count, self.setup) for pictures in self.datasets)
        with self.setup.autocast():
            result = self.model(content, style).float().clamp(0, 1)
        return [Grid([*content, *style, *result], columns=len(content))]


def _paired(style: Tensor, content: Tensor, pairings: int) -> Tensor:
    """The styles of each content of a batch, or their features: first all of the first pairing.

    Row k is style k, then style k-1, and so on; the last of the first pairing is its content.
    """
    first = torch.cat([style[:-1], content[-1:]])
    return torch.cat([first, *(style.roll(shift, 0) for shift in range(1, pairings))])
