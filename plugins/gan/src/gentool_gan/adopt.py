"""Begin with a generator that knows other classes, or none: what it draws, it draws of each."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gentool_gan.nets import GAN


def fits(own: GAN, given: GAN) -> bool:
    """Whether two generators differ in their classes alone."""
    a, b = own.config, given.config
    alike = replace(a, classes=()) == replace(b, classes=())
    return a.net == "residual" and a.classes != b.classes and alike


@torch.no_grad()
def adopt(own: GAN, given: GAN) -> None:
    """Take over a generator whose classes alone are others.

    Where both know classes, those of the same name go on and the others begin spread as the given
    ones are. Where only the given one does, what its classes do on average becomes a bias; where
    only the own one does, its classes begin as one.
    """
    state = given.generator.state_dict()
    embedding = state.pop("embed.weight", None)
    if embedding is None or not own.config.classes:
        latent = own.config.latent
        for name in [n for n in state if n == "first.weight" or n.endswith("scale_shift.weight")]:
            weight = state[name]
            if embedding is None:
                like = own.generator.get_parameter(name)
                state[name] = torch.zeros_like(like)
                state[name][:, :latent] = weight
            else:
                bias = name.replace("weight", "bias")
                state[bias] = state[bias] + weight[:, latent:] @ embedding.mean(0)
                state[name] = weight[:, :latent]
    if own.config.classes:
        state["embed.weight"] = _codes(own, given, embedding)
    own.generator.load_state_dict(state)


def _codes(own: GAN, given: GAN, embedding: Tensor | None) -> Tensor:
    """The own classes' codes (classes,EMBEDDING)."""
    codes = own.generator.get_parameter("embed.weight").clone()
    if embedding is not None:
        if len(embedding) > 1:
            codes = embedding.mean(0) + embedding.std(0) * codes
        for number, name in enumerate(own.config.classes):
            if name in given.config.classes:
                codes[number] = embedding[given.config.classes.index(name)]
    return codes
