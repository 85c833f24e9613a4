"""How a search goes about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_yandex_vision.vision.checks import Limits
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from airflow_provider_yandex_vision.vision.pacing import Backoff


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to insist.

    :param max_attempts: requests for one batch that may go wrong before its images are ``failed``;
        being throttled does not count.
    :param max_seconds: no attempt is begun later than this after the first, throttled or not.
    :param max_retry_after: seconds; a longer ``Retry-After`` is cut to it.
    """

    max_attempts: int = 6
    max_seconds: float = 600.0
    max_retry_after: float = 120.0
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class Settings:
    """Rate, window and memory of a search.

    :param requests_per_second: at most; adapted downwards where the service throttles.
    :param max_concurrent_requests: requests under way at once.
    :param max_concurrent_reads: images read at once.
    :param max_held_images: images read ahead, under way or waiting to be consumed.
    :param max_held_bytes: of their content; base64 makes a third more of it.
    :param linger: seconds that an image waits for others to fill its request, where a sender is idle.
    :raises ConfigurationError: a number that makes no sense.
    """

    requests_per_second: float = 10.0
    max_concurrent_requests: int = 8
    max_concurrent_reads: int = 16
    max_held_images: int = 1024
    max_held_bytes: int = 32 * 1024 * 1024
    linger: float = 1.0
    limits: Limits = field(default_factory=Limits)
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        for name in ("max_concurrent_requests", "max_concurrent_reads", "max_held_images", "max_held_bytes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        if not 0 < self.requests_per_second < float("inf"):
            raise ConfigurationError(f"requests_per_second must be above 0, not {self.requests_per_second!r}")
