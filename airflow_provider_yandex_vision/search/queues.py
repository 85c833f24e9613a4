"""Images on their way to a request: filling it, and waiting until it is due."""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from typing import TypeAlias

from airflow_provider_yandex_vision.search.pacing import Clock
from airflow_provider_yandex_vision.vision.models import PreparedImage

Batch: TypeAlias = "list[PreparedImage]"


class Packer:
    """Collects images into batches, in the order they come.

    :param max_images: of a batch.
    :param max_bytes: of the parts of a batch.
    """

    def __init__(self, max_images: int, max_bytes: int) -> None:
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._open: Batch = []
        self._open_bytes = 0
        self._full: deque[Batch] = deque()

    def __len__(self) -> int:
        """Images in the batch that is not full yet."""
        return len(self._open)

    def add(self, image: PreparedImage) -> None:
        if self._open and self._open_bytes + len(image.part) > self._max_bytes:
            self._close()
        self._open.append(image)
        self._open_bytes += len(image.part)
        if len(self._open) == self._max_images:
            self._close()

    def take(self, *, partial: bool = False) -> Batch | None:
        """The next full batch; with ``partial`` also one that is not full."""
        if partial and not self._full and self._open:
            self._close()
        return self._full.popleft() if self._full else None

    def _close(self) -> None:
        self._full.append(self._open)
        self._open, self._open_bytes = [], 0


class DelayQueue:
    """Batches that wait until they are due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._batches: list[tuple[float, int, Batch]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def next_due(self) -> float:
        return self._batches[0][0] if self._batches else float("inf")

    def add(self, batch: Batch, delay: float) -> None:
        heapq.heappush(self._batches, (self._clock() + delay, next(self._order), batch))

    def pop_due(self) -> Batch | None:
        return heapq.heappop(self._batches)[2] if self.next_due <= self._clock() else None
