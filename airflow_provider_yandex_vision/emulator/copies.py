"""Find near-duplicates by perceptual hashes.

Resizing, recompression, brightness and watermarks hardly change a perceptual hash, but cropping does. Every image is
therefore hashed whole and in 30 crops. The distance of two images is that of their nearest hashes, at least one of
which is of a whole image, so a crop matches its original in either role. ``benchmarks/copies.py`` prints the figures
behind the constants.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from io import BytesIO
from itertools import product
from typing import Generic, TypeAlias, TypeVar

Fingerprint: TypeAlias = tuple[int, ...]
"""Hashes of an image and its crops, the whole image first; ``HASH_SIDE**2`` bits each."""

HASH_SIDE = 16
WORKING_SIDE = 160
"""Pixels. Each image is resized to this square once, and all crops are taken from it."""

MAX_DISTANCE = 80
"""Bits, of 256, in which a copy may differ."""

CROPS = sorted({crop for share in (0.05, 0.1) for crop in product((0.0, share), repeat=4)})
"""Shares cut off at the left, top, right and bottom. The first is the whole image."""

Item = TypeVar("Item")


class UndecodableError(Exception):
    """Not an image in one of the accepted formats, or truncated."""


class TooManyPixelsError(Exception):
    """The image is larger than the limit."""


def fingerprint(content: bytes, *, formats: tuple[str, ...] | None = None, max_pixels: float = math.inf) -> Fingerprint:
    """Hash an image and its crops.

    :param content: the encoded image.
    :param formats: accepted formats by Pillow's names; None accepts all that Pillow reads.
    :param max_pixels: limit for width times height.
    :raises UndecodableError: not an image, truncated, or in another format.
    :raises TooManyPixelsError: larger than ``max_pixels``; raised before decoding.
    """
    import imagehash
    from PIL import Image

    try:
        with Image.open(BytesIO(content), formats=formats) as image:
            if image.width * image.height > max_pixels:
                raise TooManyPixelsError(f"{image.width} x {image.height} pixels")
            # Has a JPEG decoded at about this size, several times faster.
            image.draft("L", (WORKING_SIDE, WORKING_SIDE))
            small = image.convert("L").resize((WORKING_SIDE, WORKING_SIDE))
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError(str(error)) from error
    except TooManyPixelsError:
        raise
    except Exception as error:  # Pillow raises any for broken content
        raise UndecodableError(f"{type(error).__name__}: {error}") from error
    cropped = (small.crop(_box(*crop)) for crop in CROPS)
    return tuple(int(str(imagehash.phash(part, hash_size=HASH_SIDE)), 16) for part in cropped)


def distance(one: Fingerprint, other: Fingerprint) -> int:
    """Bits, 0 to 256, in which the nearest hashes differ, at least one of them of a whole image."""
    return min(
        min((one[0] ^ part).bit_count() for part in other),
        min((part ^ other[0]).bit_count() for part in one),
    )


class CopyIndex(Generic[Item]):
    """Finds the items whose images are copies of a given one.

    :param entries: items with the fingerprints of their images.
    """

    def __init__(self, entries: Iterable[tuple[Item, Fingerprint]]) -> None:
        self._entries = tuple(entries)

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(item for item, _ in self._entries)

    def search(self, image: Fingerprint) -> list[Item]:
        """All items within ``MAX_DISTANCE``, nearest first; equally near ones keep their order."""
        measured = [(distance(image, known), item) for item, known in self._entries]
        measured.sort(key=lambda pair: pair[0])
        return [item for bits, item in measured if bits <= MAX_DISTANCE]


def _box(left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
    side = WORKING_SIDE
    return round(left * side), round(top * side), round(side - right * side), round(side - bottom * side)
