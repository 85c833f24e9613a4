"""Reads under way, and those that do not end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_yandex_vision.search.pacing import Clock
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.errors import (
    ImageUnreadableError,
    StorageError,
    YandexVisionError,
    printable,
)
from airflow_provider_yandex_vision.vision.models import Image, PreparedImage

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30.0
"""In the log, about a read that takes long."""


@dataclass(slots=True, eq=False)
class ReadJob:
    """:param started: by the clock; None until a thread takes the job."""

    image: Image
    started: float | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """A job has read an image; the outcome is the error if it failed, or took too long."""

    job: ReadJob
    outcome: PreparedImage | BaseException
    seconds: float

    @property
    def image(self) -> Image:
        return self.job.image


class RunningReads:
    """A thread cannot be interrupted: one that hangs is left to itself, and its image fails."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.hanging: set[ReadJob] = set()
        self._jobs: dict[ReadJob, None] = {}
        self._max_seconds = settings.max_read_seconds
        self._max_hanging = settings.max_concurrent_reads
        self._clock = clock
        self._last_line = clock()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, image: Image) -> ReadJob:
        job = ReadJob(image)
        self._jobs[job] = None
        return job

    def remove(self, job: ReadJob) -> bool:
        """:return: False if it was given up."""
        if job in self.hanging:
            self.hanging.remove(job)
            return False
        del self._jobs[job]
        return True

    def give_up(self) -> Iterator[Read]:
        """Outcomes for the images whose reads have taken too long."""
        while (job := self._oldest) and (seconds := self._seconds_of(job)) > self._max_seconds:
            del self._jobs[job]
            self.hanging.add(job)
            error: YandexVisionError = ImageUnreadableError(f"no content after {seconds:.0f} seconds", "TIMEOUT")
            if len(self.hanging) > self._max_hanging:
                error = StorageError(f"the storage hangs: {len(self.hanging)} reads do not end, as of {job.image.uri}")
            yield Read(self.add(job.image), error, seconds)

    def log_slow(self) -> None:
        seconds = self._seconds_of(self._oldest) if self._oldest else 0.0
        if self._oldest and min(seconds, self._clock() - self._last_line) >= SECONDS_BETWEEN_LINES:
            self._last_line = self._clock()
            log.info("Reading %s has taken %d s so far", printable(self._oldest.image.uri), seconds)

    @property
    def _oldest(self) -> ReadJob | None:
        """Jobs begin in the order in which they were added."""
        return next(iter(self._jobs), None)

    def _seconds_of(self, job: ReadJob) -> float:
        return 0.0 if job.started is None else self._clock() - job.started
