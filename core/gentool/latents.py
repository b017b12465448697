"""Ways through a latent space, and latents in files.

A latents file is safetensors: tensors (N,L) of N latents, and in its metadata ``about``, a JSON
object with ``model``, the fingerprint of the networks they belong to, and whatever else a method
keeps. A file that other programs wrote may lack ``about``, or ``model`` in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gentool.errors import GentoolError, WeightsError
from gentool.weights import read_header, read_tensors

ABOUT = ("about", "latents")  # where it stands, and where gentool-vae once wrote it


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """The vector (L,) a share of the way from ``a`` to ``b``, in angle and in length.

    The straight line between two normal draws passes through a middle where no draw ever lies
    (White 2016, Sampling Generative Networks, arXiv:1609.04468, section 2.1).

    Args:
        a: (L,), where share is 0.
        b: (L,), where it is 1.
        share: 0..1.
    """
    long_a, long_b = (v.norm().clamp(min=1e-12) for v in (a, b))
    cosine = torch.dot(a / long_a, b / long_b).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if angle.sin() < 1e-3:  # the same or opposite, to rounding: there is no one circle
        return torch.lerp(a, b, share)
    weight_a, weight_b = ((1 - share) * angle).sin() / long_a, (share * angle).sin() / long_b
    on_circle: Tensor = (weight_a * a + weight_b * b) / angle.sin()
    return on_circle * torch.lerp(long_a, long_b, share)


def check_finite(numbers: Tensor) -> None:
    """Refuse what networks made where it is no picture: clamped, NaN would be written as black.

    Raises:
        GentoolError: some of the numbers are infinite or NaN.
    """
    if not bool(numbers.isfinite().all()):
        raise GentoolError(
            "the networks came to numbers that are not finite: those of --weights or --latents are "
            "too large, or no numbers; give others"
        )


def pack_file(tensors: Mapping[str, Tensor], about: Mapping[str, Any], model: str) -> bytes:
    """A latents file, as bytes.

    Args:
        tensors: (N,L) each, by name; kept as float32.
        about: what else to keep of them, as JSON does: names, classes.
        model: :func:`gentool.weights.fingerprint` of the networks they belong to.
    """
    from safetensors.torch import save

    kept = {name: t.detach().float().cpu().contiguous() for name, t in tensors.items()}
    # all under one key: safetensors writes several in another order each time
    return save(kept, {ABOUT[0]: json.dumps({**about, "model": model})})


def read_file(
    path: Path, name: str, size: int, model: str, made_by: str, flag: str = "--latents"
) -> tuple[Tensor, dict[str, Any]]:
    """Latents (N,size) of a file, finite float32 on the CPU, and what it says of them.

    Sizes and networks are compared before a tensor is read.

    Args:
        path: of the file.
        name: of its tensor.
        size: numbers in a latent.
        model: fingerprint of the networks they are for; a file without one is taken at its word.
        made_by: the command that writes such files, for the message.
        flag: what the file was given with, for the message.

    Raises:
        WeightsError: there is no such file, it holds no latents, or those of other networks.
    """
    try:
        return _read(path, name, size, model, made_by)
    except WeightsError as e:
        raise WeightsError(f"{flag} {e}") from e


def _read(
    path: Path, name: str, size: int, model: str, made_by: str
) -> tuple[Tensor, dict[str, Any]]:
    try:
        if path.is_dir():
            raise WeightsError(f"{path}: is a folder; give the latents file in it")
        if not path.exists():
            raise WeightsError(f"{path}: no such file")
    except OSError as e:  # a name that is too long, a folder that one may not enter
        raise WeightsError(f"{path}: cannot read: {e.strerror or e}") from e
    header = read_header(path)
    shape = header.shapes.get(name, ())
    if len(shape) != 2 or not shape[0]:
        raise WeightsError(f"{path}: no latents in it; `{made_by}` writes them")
    if shape[1] != size:
        raise WeightsError(
            f"{path}: {shape[0]} of {shape[1]} numbers each, but these weights take {size}; "
            "give the --weights they were made with"
        )
    about = _about(path, header.metadata)
    if about.get("model") not in (None, model):
        raise WeightsError(
            f"{path}: made with other weights, to which they mean something else; "
            "give those with --weights"
        )
    found = read_tensors(path)[name]
    if not found.is_floating_point():
        raise WeightsError(f"{path}: its latents are not floating-point numbers")
    found = found.float()  # float8 cannot be asked whether it is finite
    if not bool(found.isfinite().all()):
        raise WeightsError(f"{path}: holds numbers that are not finite")
    return found, about


def _about(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    text = next((metadata[key] for key in ABOUT if key in metadata), "{}")
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise WeightsError(f"{path}: what it says of its latents is not a JSON object")
    return about
