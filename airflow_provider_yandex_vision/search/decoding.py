"""Decode pictures within the memory of a worker. Needs the extra ``pillow``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow_provider_yandex_vision.vision.errors import ConfigurationError

if TYPE_CHECKING:
    from PIL import Image as Pillow

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")

MAX_DECODED_PIXELS = 100_000_000
"""A larger image is treated as a decompression bomb: decoding it would fill the worker's memory."""

MAX_PIXELS_AT_ONCE = 40_000_000
"""Of all images being decoded; each pixel takes up to 9 bytes. A larger image is decoded alone."""


class PixelBudget:
    """Limits what is decoded at once. Safe to use from any thread."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self.pixels = 0
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def reserved(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for so many pixels. A large image waits for all others, and then for no more."""
        with self._turn, self._changed:
            self._changed.wait_for(lambda: not self.pixels or self.pixels + pixels <= self._max_pixels)
            self.pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self.pixels -= pixels
                self._changed.notify_all()


decoding = PixelBudget(MAX_PIXELS_AT_ONCE)
"""Of the whole process: it has only one memory."""


def require_pillow(purpose: str) -> None:
    """:raises ConfigurationError: Pillow is not installed."""
    if find_spec("PIL") is None:
        raise ConfigurationError(f"{purpose} needs Pillow: pip install 'airflow-provider-yandex-vision[pillow]'")


def flatten(image: Pillow.Image) -> Pillow.Image:
    """In RGB with 8 bits; transparency becomes white."""
    from PIL import Image as Pillow

    if image.mode.startswith(("I", "F")):
        return _to_8_bits(image)
    if "A" in image.mode or "transparency" in image.info:
        transparent = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Pillow.new("RGB", image.size, "white")
        white.paste(transparent, mask=transparent)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(image: Pillow.Image) -> Pillow.Image:
    """Scale the values: Pillow's own conversion clips those over 255."""
    values = image.convert("F")
    highest: Any = values.getextrema()[1]
    scale = 255 / (65535 if highest > 255 else 255)
    return values.point(lambda value: value * scale).convert("L").convert("RGB")
