"""Images that are cheap to make: a JPEG header, a number that makes each unique, and noise."""

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
"""Header of an image of 1024 x 768 pixels. Its 54 bytes end on a base64 boundary."""

NUMBER_BYTES = 9


def picture(number: int, size: int) -> bytes:
    """``size`` bytes, distinct for each number."""
    return b"".join((JPEG_HEADER, _tag(number), _noise(size - len(JPEG_HEADER) - NUMBER_BYTES)))


def mark(number: int) -> bytes:
    """The part of the base64 that only this image has."""
    return b64encode(_tag(number))


def _tag(number: int) -> bytes:
    return number.to_bytes(NUMBER_BYTES, "big")


@cache
def _noise(size: int) -> bytes:
    return os.urandom(size)
