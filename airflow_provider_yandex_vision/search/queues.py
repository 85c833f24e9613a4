"""Images on their way to a request: filling it, and waiting for the next attempt."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeAlias, TypeVar

from airflow_provider_yandex_vision.search.pacing import Clock
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.models import PreparedImage

Batch: TypeAlias = "list[PreparedImage]"

T = TypeVar("T")


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


class DelayQueue(Generic[T]):
    """Items that wait until they are due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._items: list[tuple[float, int, T]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def next_due(self) -> float:
        return self._items[0][0] if self._items else float("inf")

    def add(self, item: T, delay: float) -> None:
        heapq.heappush(self._items, (self._clock() + delay, next(self._order), item))

    def pop_due(self) -> T | None:
        return heapq.heappop(self._items)[2] if self.next_due <= self._clock() else None


@dataclass(slots=True)
class _Failures:
    deadline: float
    count: int = 0


class RetryQueue:
    """Images that wait for another attempt, as often and as long as the settings allow.

    A batch that failed as a whole goes again as it is; an image that failed in a good reply joins another batch.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.batches: DelayQueue[Batch] = DelayQueue(clock)
        self.images: DelayQueue[PreparedImage] = DelayQueue(clock)
        self._settings = settings
        self._clock = clock
        self._failures: dict[str, _Failures] = {}

    @property
    def next_due(self) -> float:
        return min(self.batches.next_due, self.images.next_due)

    def add_image(self, image: PreparedImage, *, throttled: bool) -> bool:
        """:return: whether the image gets another attempt."""
        failures = self._note(image, throttled)
        if not self._allowed(failures):
            return False
        self.images.add(image, 0.0 if throttled else self._settings.backoff.delay(failures.count))
        return True

    def add_batch(self, batch: Batch, *, throttled: bool, retry_after: float | None) -> tuple[Batch, float]:
        """
        :param throttled: the pacer holds all requests back, so the batch has no delay of its own.
        :param retry_after: seconds that the service asked to wait.
        :return: the images that get no other attempt, and the delay of the others in seconds.
        """
        failures = [self._note(image, throttled) for image in batch]
        again = [image for image, failed in zip(batch, failures, strict=True) if self._allowed(failed)]
        delay = 0.0
        if not throttled:
            asked = min(retry_after or 0.0, self._settings.max_retry_after)
            delay = max(asked, self._settings.backoff.delay(max(failed.count for failed in failures)))
        if again:
            self.batches.add(again, delay)
        return [image for image in batch if image not in again], delay

    def forget(self, image: PreparedImage) -> None:
        """The image has its result."""
        self._failures.pop(image.sha256, None)

    def _note(self, image: PreparedImage, throttled: bool) -> _Failures:
        deadline = self._clock() + self._settings.max_retry_seconds
        failures = self._failures.setdefault(image.sha256, _Failures(deadline))
        failures.count += not throttled
        return failures

    def _allowed(self, failures: _Failures) -> bool:
        return failures.count < self._settings.max_attempts and self._clock() < failures.deadline
