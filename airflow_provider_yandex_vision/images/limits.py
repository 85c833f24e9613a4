"""How much of an image is read."""

from __future__ import annotations

from airflow_provider_yandex_vision.vision.errors import ImageRejectedError


def check_size(size: int, max_bytes: int) -> None:
    """:raises ImageRejectedError: it is too large to be read, or what was read is only its beginning."""
    if size > max_bytes:
        raise ImageRejectedError(f"the file has more than {max_bytes:,} bytes", "TOO_LARGE")
