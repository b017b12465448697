"""Latents in safetensors files, marked with the networks they belong to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save
from torch import Tensor

from gentool import WeightsError
from gentool.weights import fingerprint, read_header, read_tensors
from gentool_vae.nets import VAE, Posterior

FORMAT = "gentool-vae-latents-1"
KEY = "latents"


class Latents(NamedTuple):
    """Latents of N pictures.

    Attributes:
        mean: (N,D) float32.
        log_variance: (N,D) float32, how exactly each is known; for other programs, no action asks.
        names: of the pictures.
    """

    mean: Tensor
    log_variance: Tensor
    names: list[str]


def pack(model: VAE, posterior: Posterior, names: Sequence[str]) -> bytes:
    """A file of latents, as bytes."""
    tensors = {"mean": posterior.mean, "log_variance": posterior.log_variance}
    about = {
        "format": FORMAT,
        "model": fingerprint(model.encoder, model.decoder),
        "names": list(names),
    }
    # all under one key: safetensors writes several in another order each time
    metadata = {KEY: json.dumps(about)}
    return save({name: t.float().cpu().contiguous() for name, t in tensors.items()}, metadata)


def read(model: VAE, path: Path) -> Latents:
    """Latents that were made by this model.

    Raises:
        WeightsError: the file is missing, damaged, no file of latents, or another model's.
    """
    if not path.exists():
        raise WeightsError(f"{path}: no such file")
    header = read_header(path)
    about = _about(header.metadata.get(KEY, ""))
    if about.get("format") != FORMAT:
        raise WeightsError(f"{path}: not a file of latents, as `encode` writes them")
    wanted = ("mean", "log_variance")
    shape = header.shapes.get("mean", ())
    count = shape[0] if len(shape) == 2 else 0
    expected = (count, model.config.latent)
    if count < 1 or any(header.shapes.get(name) != expected for name in wanted):
        found = {name: header.shapes.get(name, "missing") for name in wanted}
        raise WeightsError(
            f"{path}: latents of these weights are (pictures, {model.config.latent}), but the file "
            f"has {', '.join(f'{name} {size}' for name, size in found.items())}"
        )
    if about.get("model") != fingerprint(model.encoder, model.decoder):
        raise WeightsError(
            f"{path}: made with other weights, to which these latents mean something else; "
            "give those with --weights"
        )
    tensors = read_tensors(path)
    if not all(tensors[name].is_floating_point() for name in wanted):
        raise WeightsError(f"{path}: its latents are not floating-point numbers")
    # float8 cannot be asked whether it is finite
    mean, log_variance = (tensors[name].float() for name in wanted)
    if not (mean.isfinite().all() and log_variance.isfinite().all()):
        raise WeightsError(f"{path}: holds values that are not finite")
    return Latents(mean, log_variance, _names(about.get("names"), count))


def _about(text: str) -> dict[str, Any]:
    """What the file says of itself; nothing where that is damaged."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _names(names: Any, count: int) -> list[str]:
    """Names in the file, or numbers where they are damaged: they decide nothing."""
    if isinstance(names, list) and len(names) == count:
        return [str(name) for name in names]
    return [f"{number:05}" for number in range(count)]
