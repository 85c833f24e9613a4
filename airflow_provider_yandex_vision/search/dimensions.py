"""Width and height of a JPEG or PNG, from its header alone."""

from __future__ import annotations

import struct

PNG_HEADER = struct.Struct(">8s4s4sII")
FRAME_HEADER = struct.Struct(">HBHH")
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of segments that start a frame, in any of JPEG's coding modes (ITU-T T.81, table B.1)."""
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
SCAN, END = 0xDA, 0xD9


def dimensions(content: bytes) -> tuple[int, int] | None:
    """Width and height in pixels; None if the header is broken or truncated."""
    try:
        size = _of_png(content) if content.startswith(b"\x89PNG") else _of_jpeg(content)
    except (struct.error, IndexError):
        return None
    return size if size and min(size) > 0 else None


def _of_png(content: bytes) -> tuple[int, int] | None:
    _, _, chunk, width, height = PNG_HEADER.unpack_from(content)
    return (width, height) if chunk == b"IHDR" else None


def _of_jpeg(content: bytes) -> tuple[int, int] | None:
    position = 2
    while content[position] == 0xFF:
        while content[position] == 0xFF:  # any number of fill bytes
            position += 1
        marker = content[position]
        position += 1
        if marker in FRAMES:
            _, _, height, width = FRAME_HEADER.unpack_from(content, position)
            return width, height
        if marker in (SCAN, END):
            return None
        if marker not in WITHOUT_LENGTH:
            position += int.from_bytes(content[position : position + 2], "big")
    return None
