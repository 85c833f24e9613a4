"""Attempts: how often each image was tried, whether it may be tried again, and the images that wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from airflow_provider_yandex_vision.search.pacing import Clock
from airflow_provider_yandex_vision.search.queues import Batch, DelayQueue
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.errors import ServiceError, ThrottledError
from airflow_provider_yandex_vision.vision.models import PreparedImage

MAX_ATTEMPTS_PERHAPS_BILLED = 2
"""Of one image in a search, whatever the settings allow."""

Fault: TypeAlias = type[ServiceError]


@dataclass(slots=True)
class Failures:
    """Of one image.

    :param deadline: no attempt begins later.
    :param count: attempts that failed, without throttled ones.
    :param perhaps_billed: those of them that may have been billed.
    :param refused_after: number of the request after which the service first refused a request with this image.
    :param refused_alone: how often the service refused a request with this image alone.
    :param refused_alone_after: number of the request after which it first did.
    :param beside_answers: whether it failed in a reply that had answers for others.
    """

    deadline: float
    count: int = 0
    perhaps_billed: int = 0
    refused_after: float = float("inf")
    refused_alone: int = 0
    refused_alone_after: int = 0
    beside_answers: bool = False


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
        self._failures: dict[str, Failures] = {}

    @property
    def next_due(self) -> float:
        return min(self.whole.next_due, self.parts.next_due)

    def failures(self, image: PreparedImage) -> Failures:
        deadline = self._clock() + self._settings.max_retry_seconds
        return self._failures.setdefault(image.sha256, Failures(deadline))

    def count(self, image: PreparedImage, fault: Fault) -> bool:
        """Count an attempt that failed. A throttled one uses up nothing but time.

        :return: whether another attempt is allowed.
        """
        failures = self.failures(image)
        failures.count += not issubclass(fault, ThrottledError)
        failures.perhaps_billed += fault.may_be_billed
        in_time = self._clock() < failures.deadline
        return in_time and failures.count < self._settings.max_attempts and not self.is_spent(image)

    def is_spent(self, image: PreparedImage) -> bool:
        """Whether no attempt is allowed any more, since the others may have been billed."""
        failures = self._failures.get(image.sha256)
        return failures is not None and failures.perhaps_billed >= MAX_ATTEMPTS_PERHAPS_BILLED

    def add(self, queue: DelayQueue, batch: Batch, fault: Fault, retry_after: float | None = None) -> float:
        """Let a batch wait for its next attempt.

        :param retry_after: seconds that the service asked to wait.
        :return: the delay in seconds; none if the fault is throttling, since the pacer holds all requests back.
        """
        delay = 0.0
        if not issubclass(fault, ThrottledError):
            attempt = max(self._failures[image.sha256].count for image in batch)
            asked = min(retry_after or 0.0, self._settings.max_retry_after)
            delay = max(asked, self._settings.backoff.delay(attempt))
        queue.add(batch, delay)
        return delay

    def forget(self, image: PreparedImage) -> None:
        """The image has its result."""
        self._failures.pop(image.sha256, None)
