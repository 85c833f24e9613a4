"""Images for tests: distinct bytes, as small as the checks of type and size allow."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

from airflow_provider_yandex_vision.vision import Image


def png(tag: object, *, width: int = 4, height: int = 3, size: int = 0) -> bytes:
    """A PNG header followed by the tag, padded to ``size`` bytes."""
    header = struct.pack(">4sIIBBBBB", b"IHDR", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return (start + str(tag).encode()).ljust(size, b"\0")


def image(uri: str, content: bytes | None = None, *, listed: bool = True) -> Image:
    body = png(uri) if content is None else content
    return Image(uri, lambda: body, len(body) if listed else None, "v1")


def images(count: int | Iterable[object]) -> Iterator[Image]:
    names = range(count) if isinstance(count, int) else count
    return (image(f"memory://{name}") for name in names)


def without_comma(spec: bytes) -> bytes:
    """One image of a request as JSON."""
    assert spec[:1] == b","
    return spec[1:]
