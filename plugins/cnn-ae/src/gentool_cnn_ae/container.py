"""The file format .gta: see FORMAT.md."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gentool import GentoolError

MAGIC = b"GTA\x01"  # the last byte is the version
ALPHA, GREY = 0x10, 0x20
LONGEST = 1 << 20  # pixels of a side
HEADER = 9  # bytes before the sizes


class FormatError(GentoolError):
    """A file that is no .gta, or damaged, or made by something newer."""


@dataclass(frozen=True)
class Container:
    """What a file holds.

    Attributes:
        model: 4 bytes that name the weights it needs.
        level: quality from 0.
        width, height: of the picture, pixels.
        grey: whether the picture has no colour.
        alpha: a PNG of the transparency, or nothing.
        tiles: range coded symbols of each tile, row by row.
    """

    model: bytes
    level: int
    width: int
    height: int
    tiles: Sequence[bytes]
    grey: bool = False
    alpha: bytes = b""

    def pack(self) -> bytes:
        """The file's bytes.

        Raises:
            FormatError: a side is longer than the format allows.
        """
        if max(self.width, self.height) > LONGEST:
            raise FormatError(
                f"{self.width} x {self.height} pixels: a side may have at most {LONGEST:,}"
            )
        flags = self.level | ALPHA * bool(self.alpha) | GREY * self.grey
        parts = [MAGIC, self.model, bytes([flags]), _number(self.width), _number(self.height)]
        for block in ([self.alpha] if self.alpha else []) + [*self.tiles]:
            parts += [_number(len(block)), block]
        body = b"".join(parts)
        return body + struct.pack("<I", zlib.crc32(body))

    @classmethod
    def unpack(cls, data: bytes, tiles_of: int, levels: int) -> Container:
        """Read a file's bytes.

        Args:
            data: the whole file.
            tiles_of: side of a tile, pixels.
            levels: qualities there are.

        Raises:
            FormatError: it is anything else than a sound file of this version.
        """
        if data[:3] != MAGIC[:3]:
            raise FormatError("no .gta file (it does not begin with GTA)")
        if len(data) < 16:
            raise FormatError("truncated: the file ends within its header")
        if data[3] != MAGIC[3]:
            raise FormatError(f"made in version {data[3]} of the format; this reads version 1")
        body, checksum = data[:-4], struct.unpack("<I", data[-4:])[0]
        if zlib.crc32(body) != checksum:
            raise FormatError("damaged or truncated: its checksum does not match")
        reader = _Reader(body, HEADER)
        flags = data[8]
        level = flags & 0x0F
        if level >= levels or flags & 0xC0:
            raise FormatError(f"damaged: unknown quality or flags ({flags:#04x})")
        width, height = reader.number(), reader.number()
        if not (0 < width <= LONGEST and 0 < height <= LONGEST):
            raise FormatError(f"damaged: a picture of {width} x {height} pixels")
        alpha = reader.block() if flags & ALPHA else b""
        count = -(-width // tiles_of) * -(-height // tiles_of)
        tiles = [reader.block() for _ in range(min(count, len(body)))]
        if reader.at != len(body) or len(tiles) < count:
            raise FormatError("damaged: it holds more or fewer tiles than its size asks for")
        return cls(data[4:8], level, width, height, tiles, bool(flags & GREY), alpha)


def area(path: Path) -> int:
    """Pixels of a file's picture, by its first bytes; 0 of what cannot be read.

    A pipe, which is read only once, counts as the largest.
    """
    if path.exists() and not path.is_file():
        return LONGEST**2
    try:
        with path.open("rb") as file:
            reader = _Reader(file.read(HEADER + 10), HEADER)
        return reader.number() * reader.number()
    except (OSError, FormatError):
        return 0


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def number(self) -> int:
        """A whole number below 2^35, seven bits a byte, low ones first (LEB128)."""
        found = 0
        for shift in range(0, 35, 7):
            if self.at >= len(self.data):
                raise FormatError("damaged: it ends within a number")
            byte = self.data[self.at]
            self.at += 1
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found
        raise FormatError("damaged: a number is too long")

    def block(self) -> bytes:
        length = self.number()
        found = self.data[self.at : self.at + length]
        if len(found) < length:
            raise FormatError("damaged: it ends within a tile")
        self.at += length
        return found


def _number(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
