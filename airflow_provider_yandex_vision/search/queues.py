"""Images on their way to a request: filling it, and waiting for the next attempt."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

from airflow_provider_yandex_vision.search.pacing import Clock
from airflow_provider_yandex_vision.search.settings import Settings
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


@dataclass(slots=True)
class _Failures:
    deadline: float
    count: int = 0


class Retries:
    """Images that wait for another attempt, as often and as long as the settings allow.

    ``whole`` batches failed as such and go again as they are; the images in ``parts`` failed in good replies, and each
    joins another batch.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.whole = DelayQueue(clock)
        self.parts = DelayQueue(clock)
        self._settings = settings
        self._clock = clock
        self._failures: dict[str, _Failures] = {}

    @property
    def next_due(self) -> float:
        return min(self.whole.next_due, self.parts.next_due)

    def add(
        self, queue: DelayQueue, batch: Batch, throttled: bool, retry_after: float | None = None
    ) -> tuple[Batch, float]:
        """
        :param throttled: uses up no attempt and needs no delay, since the pacer holds all requests back.
        :param retry_after: seconds that the service asked to wait.
        :return: the images that get no other attempt, and the delay of the others in seconds.
        """
        now = self._clock()
        given_up: Batch = []
        again: Batch = []
        delay = 0.0 if throttled else min(retry_after or 0.0, self._settings.max_retry_after)
        for image in batch:
            failures = self._failures.setdefault(image.sha256, _Failures(now + self._settings.max_retry_seconds))
            failures.count += not throttled
            allowed = failures.count < self._settings.max_attempts and now < failures.deadline
            (again if allowed else given_up).append(image)
        if not throttled:
            delay = max(delay, self._settings.backoff.delay(max(self._failures[image.sha256].count for image in batch)))
        if again:
            queue.add(again, delay)
        return given_up, delay

    def forget(self, image: PreparedImage) -> None:
        """The image has its result."""
        self._failures.pop(image.sha256, None)
