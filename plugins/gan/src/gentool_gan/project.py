"""The latent of a given picture: what the generator would have had to draw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from gentool import Context
from gentool.artifacts import File, Image
from gentool.compute import exactly
from gentool.images import name_of
from gentool.similarity import psnr
from gentool_gan.actions import generate
from gentool_gan.latents import class_numbers, pack
from gentool_gan.nets import GAN
from gentool_gan.options import ProjectOptions

if TYPE_CHECKING:
    from gentool.images import Source

STARTS = 32  # latents to begin from, over all classes
KEPT = 8  # of them that go on after a quarter of the steps
RATE = 0.2  # of Adam
PRIOR = 1e-3  # weight of the latent's mean square beyond what a normal draw has
SCALES = (1, 2, 4)  # pictures are compared at these reductions


def project(model: GAN, options: ProjectOptions, context: Context) -> Iterator[Image | File]:
    """Yield, for each picture, the nearest one that was found and its latent."""
    labels = class_numbers(model, [options.label] if options.label else None)
    candidates = labels or list(range(max(1, len(model.config.classes))))

    def each(source: Source) -> Iterator[Image | File]:
        picture = context.read_square(source, model.config.size)
        # as `sample --latents` computes, or the latent would be that of another picture
        with exactly(), torch.inference_mode(False), torch.enable_grad():
            generator = context.generator()  # anew: an item is what it is alone
            # a copy, because what was made in inference mode knows no gradients
            target = picture.pixels.clone().to(context.device)
            latent, label = fit(model, target, candidates, options.steps, generator)
        latents, own = latent[None], label[None] if model.config.classes else None
        (found,) = generate(model, latents, own, context)
        made_from = {"image": name_of(source)}
        near = psnr(found[None], picture.pixels[None]).item()
        found_in = "" if own is None else f", {model.config.classes[int(label)]}"
        context.progress.note(f"{name_of(source)}: PSNR {near:.2f} dB{found_in}")
        yield Image(found, name=picture.name, made_from=made_from)
        data = pack(model, latents, own)
        yield File(data, ".safetensors", picture.name, made_from, part="latent")

    yield from context.batch(each, options.image, "project")


def fit(
    model: GAN, target: Tensor, classes: list[int], steps: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The latent (L,) and the class () whose picture comes nearest to ``target`` (3,S,S).

    Gradient descent from several draws at once; the worse ones are given up on the way.
    """
    each = max(1, STARTS // len(classes))
    device = target.device
    latents = torch.randn(each * len(classes), model.config.latent, generator=generator).to(device)
    labels = torch.tensor(classes, device=device).repeat_interleave(each)
    if len(latents) > STARTS:  # more classes than that: those whose first draw is nearest
        with torch.no_grad():
            parts = [slice(i, i + STARTS) for i in range(0, len(latents), STARTS)]
            made = (model(latents[part], labels[part]) for part in parts)
            errors = torch.cat([_error(pictures, target) for pictures in made])
        order = errors.argsort()[:STARTS]
        latents, labels = latents[order], labels[order]
    for share, kept in ((0.25, KEPT), (0.75, 1)):
        latents, errors = _descend(model, target, latents, labels, max(1, round(share * steps)))
        order = errors.argsort()[:kept]
        latents, labels = latents[order], labels[order]
    return latents[0], labels[0]


def _descend(
    model: GAN, target: Tensor, latents: Tensor, labels: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Go from latents (N,L) by Adam, each on its own.

    Returns:
        The nearest latents that each came by, (N,L), and how near they are, (N,).
    """
    latents = latents.clone().requires_grad_()
    optimizer = torch.optim.Adam([latents], lr=RATE)
    held = latents.detach().clone()
    best = torch.full((len(latents),), float("inf"), device=latents.device)
    for step in range(steps + 1):  # the last only looks at what the one before it made
        error = _error(model(latents, labels), target)
        with torch.no_grad():
            nearer = error < best
            best = torch.where(nearer, error, best)
            held = torch.where(nearer[:, None], latents, held)
        if step < steps:
            beyond = (latents.square().mean(1) - 1).clamp(min=0)
            (latents.grad,) = torch.autograd.grad((error + PRIOR * beyond).sum(), latents)
            optimizer.step()
    return held, best


def _error(pictures: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of pictures (N,3,S,S) at several scales, (N,)."""
    difference = pictures - target
    return torch.stack(
        [F.avg_pool2d(difference, scale).square().mean((1, 2, 3)) for scale in SCALES]
    ).sum(0)
