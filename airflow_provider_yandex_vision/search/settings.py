"""Settings of a search: one object that is passed on whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from airflow_provider_yandex_vision.search import defaults
from airflow_provider_yandex_vision.search.pacing import Backoff
from airflow_provider_yandex_vision.vision.errors import ConfigurationError

Convert: TypeAlias = "Callable[[bytes, Settings], bytes]"
"""Makes an image that the service accepts out of one that it does not; raises ImageRejectedError."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Rate, concurrency, memory, limits and retries of a search.

    The vendor's pages disagree about what the service accepts, so all of it can be set.

    :param requests_per_second: upper bound; adapts downwards if the service throttles.
    :param max_concurrent_requests: requests in flight at once.
    :param max_concurrent_reads: images read at once.
    :param max_read_seconds: an image whose content takes longer to get is ``failed``.
    :param max_held_images: images listed ahead, in flight or waiting to be consumed.
    :param max_held_bytes: of their content; base64 adds a third.
    :param linger: seconds that an image waits for others to fill its request while a slot is free.
    :param poll_seconds: between two looks for the answer to a content that another task is searching.
    :param max_image_bytes: bytes of one image.
    :param max_pixels: width times height of one image.
    :param max_request_bytes: bytes of one request's body.
    :param convert: makes an image that the service accepts out of one that it does not.
    :param max_attempts: requests for one image that may fail before it is ``failed``; throttled ones do not count.
    :param max_retry_seconds: no retry later than this after an image's first failure, throttled or not.
    :param max_retry_after: seconds; a longer ``Retry-After`` is cut to it.
    :param backoff: delay between the attempts.
    :raises ConfigurationError: a value makes no sense.
    """

    requests_per_second: float = defaults.REQUESTS_PER_SECOND
    max_concurrent_requests: int = defaults.MAX_CONCURRENT_REQUESTS
    max_concurrent_reads: int = 16
    max_read_seconds: float = 600.0
    max_held_images: int = 1024
    max_held_bytes: int = 32 * 1024 * 1024
    linger: float = 1.0
    poll_seconds: float = 1.0
    max_image_bytes: int = defaults.MAX_IMAGE_BYTES
    max_pixels: int = 20_000_000
    max_request_bytes: int = defaults.MAX_REQUEST_BYTES
    convert: Convert | None = None
    max_attempts: int = 6
    max_retry_seconds: float = 600.0
    max_retry_after: float = 120.0
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def max_read_bytes(self) -> int:
        """A larger file is rejected without being read."""
        return self.max_image_bytes if self.convert is None else defaults.MAX_CONVERTED_BYTES

    def __post_init__(self) -> None:
        for name in ("max_concurrent_requests", "max_concurrent_reads", "max_held_images", "max_held_bytes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        if not 0 < self.requests_per_second < float("inf"):
            raise ConfigurationError(f"requests_per_second must be greater than 0, not {self.requests_per_second!r}")
