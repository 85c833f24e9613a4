"""Which pictures are copies of which: perceptual hashes of a picture and of its slight crops.

A perceptual hash hardly moves when a picture is resized, recompressed, brightened or marked, but it does
when an edge is cut off. So every picture is hashed whole and in 30 crops, and two pictures are as far
apart as the nearest pair in which at least one side is whole: a copy may be the cropped one, or the original.
``benchmarks/copies.py`` prints the figures behind the constants.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from io import BytesIO
from itertools import product
from typing import Generic, TypeAlias, TypeVar

Fingerprint: TypeAlias = tuple[int, ...]
"""Hashes of the whole picture, which comes first, and of its crops; ``HASH_SIDE**2`` bits each."""

HASH_SIDE = 16
WORKING_SIDE = 160
"""Pixels: pictures are shrunk to this square once, and every crop is taken from it, at whole pixels."""

MAX_DISTANCE = 80
"""Bits of 256 in which a copy may differ."""

CROPS = sorted({crop for share in (0.05, 0.1) for crop in product((0.0, share), repeat=4)})
"""Shares cut off at the left, top, right and bottom; the first cuts nothing."""

Item = TypeVar("Item")


class UndecodableError(Exception):
    """The bytes are not a whole picture in one of the formats."""


class TooManyPixelsError(Exception):
    """The picture is larger than was allowed."""


def fingerprint(content: bytes, *, formats: tuple[str, ...] | None = None, max_pixels: float = math.inf) -> Fingerprint:
    """Hash a picture and its crops.

    :param content: the encoded picture.
    :param formats: Pillow's names of the formats allowed; None allows all it can read.
    :param max_pixels: largest width times height.
    :raises UndecodableError: not a picture, cut short, or of another format.
    :raises TooManyPixelsError: larger than ``max_pixels``; said before anything is decoded.
    """
    import imagehash
    from PIL import Image

    try:
        with Image.open(BytesIO(content), formats=formats) as picture:
            if picture.width * picture.height > max_pixels:
                raise TooManyPixelsError(f"{picture.width} x {picture.height} pixels")
            # A JPEG is then decoded at about this size, which is several times as fast.
            picture.draft("L", (WORKING_SIDE, WORKING_SIDE))
            small = picture.convert("L").resize((WORKING_SIDE, WORKING_SIDE))
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError(str(error)) from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise UndecodableError(str(error)) from error
    cropped = (small.crop(_box(*crop)) for crop in CROPS)
    return tuple(int(str(imagehash.phash(part, hash_size=HASH_SIDE)), 16) for part in cropped)


def distance(one: Fingerprint, other: Fingerprint) -> int:
    """Bits, 0 to 256, in which the nearest hashes of two pictures differ, one of them being of a whole picture."""
    return min(
        min((one[0] ^ part).bit_count() for part in other),
        min((part ^ other[0]).bit_count() for part in one),
    )


class CopyIndex(Generic[Item]):
    """Finds the items whose pictures are copies of a given one.

    :param entries: each item with the fingerprint of its picture. Among equally near ones their order stays.
    """

    def __init__(self, entries: Iterable[tuple[Item, Fingerprint]]) -> None:
        self._entries = tuple(entries)

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(item for item, _ in self._entries)

    def search(self, wanted: Fingerprint) -> list[Item]:
        """Every item within ``MAX_DISTANCE``, nearest first."""
        measured = [(distance(wanted, known), item) for item, known in self._entries]
        measured.sort(key=lambda pair: pair[0])
        return [item for bits, item in measured if bits <= MAX_DISTANCE]


def _box(left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
    side = WORKING_SIDE
    return round(left * side), round(top * side), round(side - right * side), round(side - bottom * side)
