"""What a search needs of the service. :class:`~airflow_provider_yandex_vision.vision.VisionClient` provides it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from airflow_provider_yandex_vision.vision.models import CopySearchResult, PreparedImage


class Service(Protocol):
    """Its methods are called from several threads at once."""

    max_images_per_request: int
    envelope_bytes: int
    """What a request's body adds at most to the sizes of its images' parts."""

    def encode(self, content: bytes, mime_type: str) -> bytes: ...

    def batch_analyze(self, images: Sequence[PreparedImage]) -> list[CopySearchResult]: ...

    def abort(self) -> None: ...
