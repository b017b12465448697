"""What actions yield. An action never writes a file or prints; the runner does."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gentool import animation, encoding, images
from gentool.errors import OutputError
from gentool.files import expand, write_file

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor


class Artifact(Protocol):
    """Something that can become a file.

    Attributes:
        name: proposed file name without suffix.
        suffix: proposed suffix, ``.png``.
        part: empty for a result; a word for what accompanies one, ``preview``. Companions lie
            beside the result, ``photo-preview.png``, and each replaces the last of its kind.
    """

    @property
    def name(self) -> str: ...
    @property
    def suffix(self) -> str: ...
    @property
    def part(self) -> str: ...
    @property
    def made_from(self) -> Mapping[str, str]:
        """The items of a batch that this one came from, by option: ``{"content": "a.jpg"}``."""
        ...

    def encode(self, suffix: str, metadata: Mapping[str, Any] | None = None) -> bytes:
        """The bytes of a file of that suffix, provenance inside where the format has room.

        Raises:
            OutputError: the artifact cannot be written as that.
        """
        ...


def check_size(count: int, height: int, width: int, flags: str) -> None:
    """Refuse a sheet or an animation that no memory would hold, before its pictures are made.

    Args:
        count: how many pictures.
        height: of each, pixels.
        width: of each, pixels.
        flags: what decides how many there are, for the message.

    Raises:
        OutputError: so many are too large for one file.
    """
    if count * height * width > images.LARGE:
        raise OutputError(
            f"{flags}: {count:,} pictures of {width}x{height} pixels are too many for one file, "
            f"which takes {images.LARGE // (height * width):,}; make fewer or smaller ones"
        )


@dataclass(frozen=True, eq=False)
class _Savable:
    # how it came to be; a run fills it in, and `save` writes it into the file
    provenance: Mapping[str, Any] | None = field(
        default=None, repr=False, compare=False, kw_only=True
    )
    suffix = ".png"

    def encode(self, suffix: str, metadata: Mapping[str, Any] | None = None) -> bytes:
        raise OutputError(f"{type(self).__name__} cannot be written")

    def save(self, path: str | Path, metadata: Mapping[str, Any] | None = None) -> Path:
        """Write to ``path`` atomically, replacing a file of that name.

        Args:
            path: its suffix decides the format.
            metadata: what to write into the file in place of its provenance; ``{}`` for nothing.

        Raises:
            OutputError: the suffix is unknown or the file cannot be written.
        """
        path = expand(path)
        told = self.provenance if metadata is None else metadata
        return write_file(path, self.encode(path.suffix, told))


def handed_over(artifact: Artifact, provenance: Mapping[str, Any]) -> Artifact:
    """The artifact for a caller in Python, who may change its tensors and take gradients of them.

    Those that inference mode made allow neither, and some may be parts of an input. It writes how
    it was made wherever it is saved. One of a plugin's own class comes back as it was.
    """
    if not isinstance(artifact, _Savable):
        return artifact
    copies = {f.name: _copied(getattr(artifact, f.name)) for f in fields(artifact)}
    return replace(artifact, **(copies | {"provenance": provenance}))


def _copied(value: Any) -> Any:
    """Tensors, and sequences of them, as copies; anything else as it is."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, list | tuple) and value and isinstance(value[0], torch.Tensor):
        return [tensor.clone() for tensor in value]
    return value


@dataclass(frozen=True, eq=False)
class Image(_Savable):
    """One picture.

    Attributes:
        tensor: (3,H,W) or (1,H,W) float32, 0..1.
        alpha: (1,H,W) float32, 0..1, or None.
        name: proposed file name without suffix.
        made_from, part: see :class:`Artifact`.
    """

    tensor: Tensor = field(repr=False)
    alpha: Tensor | None = field(default=None, repr=False)
    name: str = "image"
    made_from: Mapping[str, str] = field(default_factory=dict)
    part: str = ""

    @property
    def image(self) -> PIL.Image.Image:
        """As an 8-bit PIL image, RGBA where there is alpha.

        Raises:
            OutputError: the alpha is of another size.
        """
        return images.to_pil(self.tensor, self.alpha)

    def encode(self, suffix: str, metadata: Mapping[str, Any] | None = None) -> bytes:
        return encoding.encode(self.image, suffix, metadata)


@dataclass(frozen=True, eq=False)
class Grid(_Savable):
    """Several pictures on one sheet, row by row.

    Attributes:
        tensors: each (3,H,W) in 0..1; smaller ones are centred in their cell.
        columns: pictures a row; None makes the sheet about square.
        gap: pixels between them.
        name: proposed file name without suffix.
        made_from, part: see :class:`Artifact`.
    """

    tensors: Sequence[Tensor] = field(repr=False)
    columns: int | None = None
    gap: int = 4
    name: str = "grid"
    made_from: Mapping[str, str] = field(default_factory=dict)
    part: str = ""

    @property
    def tensor(self) -> Tensor:
        """The sheet, (3,H,W), white between the pictures.

        Raises:
            OutputError: there is no picture.
        """
        import torch

        if not self.tensors:
            raise OutputError("a grid needs at least one picture")
        columns = self.columns or math.ceil(math.sqrt(len(self.tensors)))
        rows = math.ceil(len(self.tensors) / columns)
        height = max(t.shape[1] for t in self.tensors)
        width = max(t.shape[2] for t in self.tensors)
        step_y, step_x = height + self.gap, width + self.gap
        sheet = torch.ones(3, rows * step_y - self.gap, columns * step_x - self.gap)
        for i, t in enumerate(self.tensors):
            y = i // columns * step_y + (height - t.shape[1]) // 2
            x = i % columns * step_x + (width - t.shape[2]) // 2
            sheet[:, y : y + t.shape[1], x : x + t.shape[2]] = t.detach().float().cpu()
        return sheet

    @property
    def image(self) -> PIL.Image.Image:
        """The sheet as an 8-bit PIL image."""
        return images.to_pil(self.tensor)

    def encode(self, suffix: str, metadata: Mapping[str, Any] | None = None) -> bytes:
        return encoding.encode(self.image, suffix, metadata)


@dataclass(frozen=True, eq=False)
class Animation(_Savable):
    """Pictures in time, written as WebP, GIF or, with ``gentool-core[video]``, MP4.

    Attributes:
        frames: each (3,H,W) in 0..1, all of one size.
        fps: frames a second, from 0.1 to 100.
        name: proposed file name without suffix.
        made_from, part: see :class:`Artifact`.
    """

    frames: Sequence[Tensor] = field(repr=False)
    fps: float = 12.0
    name: str = "animation"
    made_from: Mapping[str, str] = field(default_factory=dict)
    part: str = ""
    suffix = ".webp"

    def encode(self, suffix: str, metadata: Mapping[str, Any] | None = None) -> bytes:
        frames = [images.to_pil(frame) for frame in self.frames]
        return animation.encode(frames, self.fps, suffix, metadata)


@dataclass(frozen=True)
class File(_Savable):
    """Bytes of a format of the method's own.

    Attributes:
        data: the whole file.
        suffix: its only suffix.
        name: proposed file name without suffix.
        made_from, part: see :class:`Artifact`.
    """

    data: bytes = field(repr=False)
    suffix: str = ".bin"
    name: str = "file"
    made_from: Mapping[str, str] = field(default_factory=dict)
    part: str = ""

    def encode(self, suffix: str, metadata: Mapping[str, Any] | None = None) -> bytes:
        if suffix.lower() != self.suffix.lower():
            raise OutputError(f"this is written as {self.suffix}, not '{suffix}'")
        return self.data


@dataclass(frozen=True)
class Figures(_Savable):
    """Named figures, written as JSON.

    Attributes:
        values: numbers or texts by name; nan and infinities are written as texts.
        name: proposed file name without suffix.
        made_from, part: see :class:`Artifact`.
    """

    values: Mapping[str, float | int | str] = field(default_factory=dict)
    name: str = "figures"
    made_from: Mapping[str, str] = field(default_factory=dict)
    part: str = ""
    suffix = ".json"

    def encode(self, suffix: str, metadata: Mapping[str, Any] | None = None) -> bytes:
        if suffix.lower() != ".json":
            raise OutputError(f"figures are written as .json, not '{suffix}'")
        # JSON has neither nan nor infinity, which the PSNR of equal pictures is
        values = {
            name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in self.values.items()
        }
        content = values | ({"made_with": dict(metadata)} if metadata else {})
        return (json.dumps(content, indent=2) + "\n").encode()
