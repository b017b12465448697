"""Latents: drawn, walked between, and kept in files.

A latents file has a tensor ``latents`` (N,L) and, in what :mod:`gentool.latents` keeps about them,
``classes``, a list of N names or empty. That may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gentool import Context, GentoolError, UsageError
from gentool.errors import did_you_mean
from gentool.latents import pack_file, read_file, slerp
from gentool.weights import fingerprint
from gentool_gan.nets import GAN


def draw(model: GAN, context: Context, index: int) -> tuple[Tensor, int]:
    """What picture number ``index`` is made from, whatever else is drawn.

    Args:
        model: whose latent.
        context: gives the generator.
        index: of the picture.

    Returns:
        The latent (L,), and the number of the class, for where none is asked for.
    """
    generator = context.generator(index)
    latent = torch.randn(model.config.latent, generator=generator)
    label = torch.randint(max(1, len(model.config.classes)), (), generator=generator)
    return latent, int(label)


def class_numbers(model: GAN, names: Sequence[str] | None) -> list[int]:
    """Numbers of the classes of these names.

    Raises:
        UsageError: these weights have no such class, or none at all.
    """
    classes = model.config.classes
    if names and not classes:
        raise UsageError("--label: these weights know no classes; leave it out")
    for name in names or ():
        if name not in classes:
            shown = ", ".join(classes[:12]) + (", ..." if len(classes) > 12 else "")
            raise UsageError(
                f"--label: these weights have no class '{name}'{did_you_mean(name, classes)} "
                f"(they have {shown})"
            )
    return [classes.index(name) for name in names or ()]


def walk(
    points: Tensor, steps: int, between: Callable[[Tensor, Tensor, float], Tensor] = slerp
) -> Tensor:
    """Points (K,L) with ``steps`` from each to the next -> (K*steps,L), back to the first.

    Args:
        points: latents, or shares of classes.
        steps: of each leg; the last leg leads back to the first point.
        between: the point a share of the way from one to another.
    """
    legs = zip(points, points.roll(-1, 0), strict=True)
    return torch.stack([between(a, b, i / steps) for a, b in legs for i in range(steps)])


def pack(model: GAN, latents: Tensor, labels: Tensor | None) -> bytes:
    """Latents (N,L), and labels (N,) where there are classes, as a file's bytes."""
    names = [] if labels is None else [model.config.classes[int(label)] for label in labels]
    return pack_file({"latents": latents}, {"classes": names}, fingerprint(model.generator))


def unpack(
    model: GAN, paths: Sequence[Path], context: Context, keep_classes: bool
) -> list[tuple[Tensor, int]]:
    """Latents (L,) of files, one after another, each with a class: its own, or drawn.

    Args:
        model: whose latents.
        paths: of the files.
        context: draws the classes of those that have none.
        keep_classes: take the files' own; others may be named instead.

    Raises:
        GentoolError: one holds no latents, or such of another generator.
    """
    own = fingerprint(model.generator)
    known = model.config.classes if keep_classes else ()
    unpacked = list[tuple[Tensor, int]]()
    for path in paths:
        latents, about = read_file(
            path, "latents", model.config.latent, own, "gentool run gan project"
        )
        classes = _classes(path, about.get("classes", []), len(latents))
        strange = next((name for name in classes if known and name not in known), None)
        if strange is not None:
            raise GentoolError(f"--latents {path}: these weights have no class '{strange}'")
        for k, latent in enumerate(latents):
            _, label = draw(model, context, len(unpacked))
            unpacked.append((latent, known.index(classes[k]) if known and classes else label))
    return unpacked


def _classes(path: Path, classes: object, count: int) -> list[str]:
    """Names of the classes of a file's latents, as many as those or none."""
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise GentoolError(f"--latents {path}: its classes are not a list of names")
    if len(classes) not in (0, count):
        raise GentoolError(f"--latents {path}: {count} latents, but {len(classes)} classes")
    return classes
