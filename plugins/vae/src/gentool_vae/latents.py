"""Latents of pictures in files, see :mod:`gentool.latents`.

A file has ``mean`` (N,D), the names of the N pictures, and for other programs, as no action asks,
how exactly each number is known, ``log_variance`` (N,D).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from gentool.latents import pack_file, read_file
from gentool.weights import fingerprint
from gentool_vae.nets import VAE, Posterior


def pack(model: VAE, posterior: Posterior, names: Sequence[str]) -> bytes:
    """A file of latents, as bytes."""
    return pack_file(posterior._asdict(), {"names": list(names)}, _model(model))


def read(model: VAE, path: Path) -> tuple[Tensor, list[str]]:
    """Mean latents (N,D) that were made by this model, and the N names of their pictures.

    Raises:
        WeightsError: the file is missing, damaged, no file of latents, or another model's.
    """
    mean, about = read_file(
        path, "mean", model.config.latent, _model(model), "gentool run vae encode"
    )
    return mean, _names(about.get("names"), len(mean))


def _model(model: VAE) -> str:
    """Of what latents depend on: neither the prior nor the detail network."""
    return fingerprint(model.encoder, model.decoder)


def _names(names: object, count: int) -> list[str]:
    """Names in the file, or numbers where they are damaged: they decide nothing."""
    if isinstance(names, list) and len(names) == count:
        return [str(name) for name in names]
    return [f"{number:05}" for number in range(count)]
