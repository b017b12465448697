"""VGG-19 as torchvision publishes it, fetched once and kept as safetensors."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.parse
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from gentool import WeightsError
from gentool.progress import Progress
from gentool.weights import read_header, write_tensors
from gentool_perceptual.features import CONVOLUTIONS

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
BYTES = 574_673_361
SHA256_PREFIX = "dcbb9e9d"  # PyTorch publishes no more digits, and puts them into the name
# positions of the convolutions in torchvision's `features`
_INDEX = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
# torchvision's normalisation, RGB, of pictures in 0..1
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def fetch(progress: Progress | None = None, url: str = URL, sha256: str = SHA256_PREFIX) -> Path:
    """The safetensors file of VGG-19's convolutions, made at the first call.

    torchvision's file is looked for where PyTorch keeps such files (``hub/checkpoints`` in
    ``$TORCH_HOME``, else ``$XDG_CACHE_HOME/torch``, else ``~/.cache/torch``), so one that is there
    already serves.

    Args:
        progress: told of the download before it begins, and how far it is.
        url: of torchvision's file.
        sha256: the first digits of its hash.

    Raises:
        WeightsError: it can be neither found nor fetched, or is not what it should be.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    original = folder / url.rsplit("/", 1)[1]
    converted = original.with_name(f"{original.stem}-convolutions.safetensors")
    if not _sound(converted, original):
        if not original.exists():
            _download(url, original, progress or Progress())
        _check(original, sha256)
        write_tensors(converted, _convert(original), {"source": url, "licence": "CC BY 4.0"})
    return converted


def _sound(converted: Path, original: Path) -> bool:
    """Whether the file is there and whole; a damaged one is made again where it was made from."""
    if not converted.exists():
        return False
    try:
        read_header(converted)
    except WeightsError as e:
        if original.exists():
            return False
        raise WeightsError(f"{converted}: damaged; delete it and run again, to fetch it") from e
    return True


def _download(url: str, target: Path, progress: Progress) -> None:
    host, size = urllib.parse.urlsplit(url).hostname, f"{BYTES / 1e6:.0f} MB"
    progress.note(f"fetching VGG-19 from {host}, once, {size}, into {target.parent}")
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=30) as response,  # noqa: S310 a constant address
            tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file,
        ):
            temporary = Path(file.name)
            total = int(response.headers.get("Content-Length") or BYTES)
            with progress.bar(total >> 20, f"fetching {target.name}") as show:
                done = 0
                while block := response.read(1 << 20):
                    file.write(block)
                    done += len(block)
                    show(done >> 20, "MiB")
        if done != total:
            raise OSError(f"the connection ended after {done} of {total} bytes")
        os.replace(temporary, target)
    except (OSError, HTTPException) as e:  # urllib's errors are OSErrors too
        reason = getattr(e, "reason", None) or getattr(e, "strerror", None) or e
        raise WeightsError(
            f"cannot fetch VGG-19 ({reason}); get {url} on another machine and put it at {target}"
        ) from e
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def _check(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256):
        raise WeightsError(
            f"{path}: not torchvision's VGG-19 (its sha256 begins with {found[:8]}, not {sha256}); "
            "delete it and run again"
        )


def _convert(path: Path) -> dict[str, Tensor]:
    """Named convolutions for pictures in 0..255 less a mean, which FeatureNet subtracts.

    The one place in gentool that opens a pickle: torchvision offers nothing else. Its hash was
    checked, ``weights_only`` lets through tensors alone, and from then on the safetensors file made
    of it is read.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        tensors = {}
        for name, index in zip(CONVOLUTIONS, _INDEX, strict=True):
            tensors[f"conv{name}.weight"] = state[f"features.{index}.weight"].float()
            tensors[f"conv{name}.bias"] = state[f"features.{index}.bias"].float()
    except (RuntimeError, KeyError, UnpicklingError, zipfile.BadZipFile, EOFError) as e:
        raise WeightsError(f"{path}: not torchvision's VGG-19: {e}") from e
    std = torch.tensor(_STD).view(1, 3, 1, 1) * 255
    tensors["conv1_1.weight"] = tensors["conv1_1.weight"] / std
    return tensors | {"mean": torch.tensor(_MEAN) * 255}
