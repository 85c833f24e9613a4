"""Pictures for tests: as small as a check of type and size lets through, each with bytes of its own."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

from airflow_provider_yandex_vision.vision import Image


def png(tag: object, *, width: int = 4, height: int = 3, size: int = 0) -> bytes:
    """A PNG header followed by the tag, padded to ``size`` bytes."""
    header = struct.pack(">4sIIBBBBB", b"IHDR", width, height, 8, 2, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return (picture + str(tag).encode()).ljust(size, b"\0")


def image(uri: str, content: bytes | None = None, *, listed: bool = True) -> Image:
    body = png(uri) if content is None else content
    return Image(uri, lambda: body, len(body) if listed else None, "v1")


def images(count: int | Iterable[object]) -> Iterator[Image]:
    names = range(count) if isinstance(count, int) else count
    return (image(f"memory://{name}") for name in names)


def without_comma(spec: bytes) -> bytes:
    """The JSON of one image of a request."""
    assert spec[:1] == b","
    return spec[1:]
