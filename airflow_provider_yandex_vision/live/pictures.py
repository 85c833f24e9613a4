"""Pictures that nobody has published, drawn without any library."""

from __future__ import annotations

import struct
import zlib
from random import Random

SMALL = (320, 240)
LARGE = (5_000, 4_100)
"""Pixels; 20.5 megapixels."""

LARGE_NOISE = 1_500_000
"""Bytes that do not compress, so that the file is larger than 1 MB."""

BIT_DEPTH = 8


def small(random: Random) -> bytes:
    """A picture of noise: no copies of it can exist."""
    width, height = SMALL
    return _png(width, height, random.randbytes(width * height))


def large(random: Random) -> bytes:
    """A picture above the limits of 1 MB and 20 megapixels, which older pages of the vendor name."""
    width, height = LARGE
    return _png(width, height, random.randbytes(LARGE_NOISE).ljust(width * height, b"\x80"))


def _png(width: int, height: int, pixels: bytes) -> bytes:
    """A greyscale PNG, one byte a pixel."""
    rows = (b"\0" + pixels[start : start + width] for start in range(0, width * height, width))
    header = struct.pack(">IIBBBBB", width, height, BIT_DEPTH, 0, 0, 0, 0)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(b"".join(rows)), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks.items())


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
