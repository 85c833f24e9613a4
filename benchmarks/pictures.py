"""Pictures that cost next to nothing to make: a JPEG's header, a number that makes each unique, and noise."""

from __future__ import annotations

import os
from base64 import b64encode
from functools import cache

JPEG_HEADER = (
    b"\xff\xd8"
    b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    b"\xff\xc0\x00\x11\x08\x03\x00\x04\x00\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
    b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00\x00"
)
"""Of a picture of 1024 x 768 pixels, up to where its data begin. The 54 bytes end on a boundary of base64."""

NUMBER_BYTES = 9


def picture(number: int, size: int) -> bytes:
    """As many bytes as asked, other ones for each number."""
    return b"".join((JPEG_HEADER, _tag(number), _noise(size - len(JPEG_HEADER) - NUMBER_BYTES)))


def mark(number: int) -> bytes:
    """What only this picture has in its base64."""
    return b64encode(_tag(number))


def _tag(number: int) -> bytes:
    return number.to_bytes(NUMBER_BYTES, "big")


@cache
def _noise(size: int) -> bytes:
    return os.urandom(size)
