"""Files: what a sound one holds, and one line for every other."""

import struct
import zlib

import numpy as np
import pytest
import torch

from gentool_cnn_ae.container import Container, FormatError

SOUND = Container(b"abcd", 4, 300, 5000, [b"first", b"", b"third"], True, b"png")


def sealed(body):
    return body + struct.pack("<I", zlib.crc32(body))


def test_what_is_packed_is_unpacked():
    assert Container.unpack(SOUND.pack(), 2048, 8) == SOUND


def test_every_truncation_and_every_flipped_bit_is_told():
    data = SOUND.pack()
    for length in range(len(data)):
        with pytest.raises(FormatError):
            Container.unpack(data[:length], 2048, 8)
    for place in range(8 * len(data)):
        bad = bytearray(data)
        bad[place // 8] ^= 1 << place % 8
        with pytest.raises(FormatError):
            Container.unpack(bytes(bad), 2048, 8)


HEAD = b"GTA\x01abcd"
HOSTILE = {  # with checksums that match
    "no .gta file": b"\x89PNG and more than sixteen bytes",
    "version 2 of the format": b"GTA\x02abcd" + bytes(20),
    "unknown quality": HEAD + b"\x08\x10\x10\x01x" + bytes(9),
    r"unknown quality or flags \(0x40\)": HEAD + b"\x40\x10\x10\x01x" + bytes(9),
    "a picture of 0 x 16": HEAD + b"\x00\x00\x10\x01x" + bytes(9),
    "a picture of 16 x 2097151": HEAD + b"\x00\x10\xff\xff\x7f\x01x" + bytes(9),
    "a number is too long": HEAD + b"\x00" + b"\x80" * 12,
    "ends within a number": HEAD + b"\x00\x10\x10\x90",
    "ends within a tile": HEAD + b"\x00\x10\x10\xff\x01" + bytes(9),
    "more or fewer tiles": HEAD + b"\x00\x10\x10\x01xy" + bytes(9),
    "within a number$": HEAD + b"\x00\xff\xff\x3f\xff\xff\x3f" + bytes(8),
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_hostile_files_are_one_line(reason):
    with pytest.raises(FormatError, match=reason) as told:
        Container.unpack(sealed(HOSTILE[reason]), 2048, 8)
    assert "\n" not in str(told.value)


def test_any_bytes_for_symbols_end_in_a_picture_or_one_line(codec, photo):
    """The checksum is no proof against someone who can compute one."""
    generator = np.random.default_rng(0)
    refused = 0
    for length in (0, 1, 7, 300, 20_000):
        tiles = [generator.bytes(length)]
        data = Container(codec.id, 3, 112, 96, tiles).pack()
        try:
            assert bool(codec.decompress(data).pixels.isfinite().all())
        except FormatError:
            refused += 1
    assert refused


@pytest.mark.parametrize("png", [b"no png", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_damaged_transparency_is_one_line(codec, photo, png):
    tiles = Container.unpack(codec.compress(photo, 0), 2048, 8).tiles
    data = Container(codec.id, 0, 112, 96, tiles, alpha=png).pack()
    with pytest.raises(FormatError, match="transparency"):
        codec.decompress(data)


def test_transparency_of_another_size_is_refused(codec, photo):
    other = codec.compress(photo[:, :20, :20], 0, torch.zeros(1, 20, 20))
    alpha = Container.unpack(other, 2048, 8).alpha
    tiles = Container.unpack(codec.compress(photo, 0), 2048, 8).tiles
    data = Container(codec.id, 0, 112, 96, tiles, alpha=alpha).pack()
    with pytest.raises(FormatError, match="transparency has another size"):
        codec.decompress(data)


def test_what_no_reader_would_take_is_not_written():
    with pytest.raises(FormatError, match="a side may have at most 1,048,576"):
        Container(b"abcd", 4, 2**20 + 1, 16, [b""]).pack()
