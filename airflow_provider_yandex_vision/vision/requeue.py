"""Images that the service could not search inside a good reply, and that go into a later request."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from airflow_provider_yandex_vision.vision.checks import CheckedImage
from airflow_provider_yandex_vision.vision.messages import BROKEN
from airflow_provider_yandex_vision.vision.pacing import Clock
from airflow_provider_yandex_vision.vision.sending import THROTTLED_CODE
from airflow_provider_yandex_vision.vision.settings import RetryPolicy

RETRIED_CODES = frozenset({"DEADLINE_EXCEEDED", THROTTLED_CODE, "INTERNAL", "UNAVAILABLE", BROKEN})
"""Codes of one image that another request may cure."""


@dataclass(slots=True)
class _Trouble:
    deadline: float
    failures: int = 0


class Requeue:
    """Keeps such images until they are due, as often and as long as the policy allows."""

    def __init__(self, policy: RetryPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._troubles: dict[str, _Trouble] = {}
        self._due: list[tuple[float, int, CheckedImage]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._due)

    @property
    def next_due(self) -> float:
        return self._due[0][0] if self._due else float("inf")

    def take(self, image: CheckedImage, code: str | None, pause: float) -> bool:
        """False where the image has no other try left, or its code allows none.

        :param pause: seconds for which the service wants nobody to ask; being throttled is no failure.
        """
        if code not in RETRIED_CODES:
            return False
        now = self._clock()
        trouble = self._troubles.setdefault(image.sha256, _Trouble(now + self._policy.max_seconds))
        trouble.failures += code != THROTTLED_CODE
        if trouble.failures >= self._policy.max_attempts or now >= trouble.deadline:
            return False
        delay = pause if code == THROTTLED_CODE else self._policy.backoff.delay(trouble.failures)
        heapq.heappush(self._due, (now + delay, next(self._order), image))
        return True

    def pop_due(self) -> Iterator[CheckedImage]:
        while self._due and self._due[0][0] <= self._clock():
            yield heapq.heappop(self._due)[2]

    def forget(self, image: CheckedImage) -> None:
        self._troubles.pop(image.sha256, None)
