"""Fill requests: 8 images each, and never over the byte limit."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from airflow_provider_yandex_vision.vision.checks import CheckedImage
from airflow_provider_yandex_vision.vision.messages import MAX_IMAGES_PER_REQUEST

Batch: TypeAlias = "list[CheckedImage]"

ENVELOPE_BYTES = 200
"""More than the JSON around the images ever takes: ``{"folderId":…,"analyzeSpecs":[…]}``."""


class Packer:
    """Collects images into batches, in the order they come.

    :param max_request_bytes: of a whole body.
    """

    def __init__(self, max_request_bytes: int) -> None:
        self._max_bytes = max_request_bytes - ENVELOPE_BYTES
        self._open: Batch = []
        self._open_bytes = 0
        self._full: deque[Batch] = deque()

    def __len__(self) -> int:
        """Images in the batch that is not full yet."""
        return len(self._open)

    def add(self, image: CheckedImage) -> None:
        if self._open and self._open_bytes + len(image.spec) > self._max_bytes:
            self._close()
        self._open.append(image)
        self._open_bytes += len(image.spec)
        if len(self._open) == MAX_IMAGES_PER_REQUEST:
            self._close()

    def add_batches(self, *batches: Batch) -> None:
        """Batches that go next, as they are."""
        self._full.extendleft(reversed(batches))

    def take(self, *, partial: bool = False) -> Batch | None:
        """The next full batch; with ``partial`` also one that is not full."""
        if partial and not self._full and self._open:
            self._close()
        return self._full.popleft() if self._full else None

    def _close(self) -> None:
        self._full.append(self._open)
        self._open, self._open_bytes = [], 0
