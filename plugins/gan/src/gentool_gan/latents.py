"""Latents: drawn, walked between, and kept in files.

A latents file is safetensors: ``latents`` (N,L) float32, and in its metadata ``about``, a JSON
object with ``classes``, a list of N names or empty, and ``model``, the generator's fingerprint.
Either may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gentool import Context, GentoolError, UsageError, WeightsError
from gentool.errors import did_you_mean
from gentool.latents import slerp
from gentool.weights import fingerprint, read_header, read_tensors
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


def walk(latents: Tensor, steps: int) -> Tensor:
    """Latents (K,L) with ``steps`` from each to the next -> (K*steps,L), back to the first.

    The last leg leads back to the first.
    """
    legs = zip(latents, latents.roll(-1, 0), strict=True)
    return torch.stack([slerp(a, b, i / steps) for a, b in legs for i in range(steps)])


def pack(model: GAN, latents: Tensor, labels: Tensor | None) -> bytes:
    """Latents (N,L), and labels (N,) where there are classes, as a file's bytes."""
    from safetensors.torch import save

    names = [] if labels is None else [model.config.classes[int(label)] for label in labels]
    content = {"latents": latents.detach().float().cpu().contiguous()}
    # all under one key: safetensors writes several in another order each time
    about = json.dumps({"classes": names, "model": fingerprint(model.generator)})
    return save(content, {"about": about})


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
        latents, classes, made_by = _read(path, model.config.latent)
        if made_by not in (None, own):
            raise GentoolError(
                f"--latents {path}: made with other weights, to which they mean something else; "
                "give those with --weights"
            )
        strange = next((name for name in classes if known and name not in known), None)
        if strange is not None:
            raise GentoolError(f"--latents {path}: these weights have no class '{strange}'")
        for k, latent in enumerate(latents):
            _, label = draw(model, context, len(unpacked))
            unpacked.append((latent, known.index(classes[k]) if known and classes else label))
    return unpacked


def _read(path: Path, size: int) -> tuple[Tensor, list[str], object]:
    """Latents (N,size) of a file, N names of classes or none, and the generator's fingerprint."""
    if not path.exists():
        raise GentoolError(f"--latents {path}: no such file")
    try:
        tensors, metadata = read_tensors(path), read_header(path).metadata
    except WeightsError as e:
        raise GentoolError(f"--latents {e}") from e
    found = tensors.get("latents")
    if found is None or found.dim() != 2 or not found.is_floating_point() or not len(found):
        raise GentoolError(
            f"--latents {path}: no latents in it; `gentool run gan project` writes them"
        )
    if found.shape[1] != size:
        raise GentoolError(
            f"--latents {path}: {found.shape[0]} of {found.shape[1]} numbers each, but these "
            f"weights take {size}; give the --weights they were made with"
        )
    found = found.float()  # float8 cannot be asked whether it is finite
    if not bool(found.isfinite().all()):
        raise GentoolError(f"--latents {path}: holds numbers that are not finite")
    try:
        about = json.loads(metadata.get("about", "{}"))
    except (ValueError, RecursionError):
        about = None
    classes = about.get("classes", []) if isinstance(about, dict) else None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise GentoolError(f"--latents {path}: its classes are not a list of names")
    if len(classes) not in (0, len(found)):
        raise GentoolError(f"--latents {path}: {len(found)} latents, but {len(classes)} classes")
    return found, classes, about.get("model")
