"""What a search has done so far: counts for programs, and a line every few seconds for people."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from airflow_provider_yandex_vision.search.pacing import Clock, Pacer
from airflow_provider_yandex_vision.vision.models import CopySearchResult, Status, utc_now

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


@dataclass(slots=True)
class Counts:
    """Of one search. ``duplicates`` are images that got a known answer; they count in their status as well."""

    found: int = 0
    none: int = 0
    rejected: int = 0
    failed: int = 0
    duplicates: int = 0
    copies: int = 0
    matches: int = 0
    requests: int = 0
    throttles: int = 0
    bytes_sent: int = 0

    @property
    def images(self) -> int:
        return self.found + self.none + self.rejected + self.failed

    def add(self, status: Status, copies: int | None, matches: int | None) -> None:
        """Count an image with so many copies and matches."""
        setattr(self, status, getattr(self, status) + 1)
        self.copies += copies or 0
        self.matches += matches or 0

    def refuse(self, results: Iterable[CopySearchResult]) -> None:
        """Count results that could not be stored, and were counted before, as failed."""
        for result in results:
            setattr(self, result.status, getattr(self, result.status) - 1)
            self.failed += 1
            self.copies -= result.copy_count or 0
            self.matches -= len(result.matches)


class Progress:
    """Logs a line about the counts every few seconds, and one at the end.

    ``total`` is the number of images, as soon as it is known.
    """

    def __init__(self, counts: Counts, pacer: Pacer, *, clock: Clock = time.monotonic) -> None:
        self.total: int | None = None
        self._counts = counts
        self._pacer = pacer
        self._clock = clock
        self._started = self._last_line = clock()

    def tick(self) -> None:
        now = self._clock()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            log.info("%s", self.line())

    def finish(self) -> None:
        log.info("Done: %s, in %s", self.line(), timedelta(seconds=round(self._clock() - self._started)))

    def line(self) -> str:
        counts, elapsed = self._counts, self._clock() - self._started
        rate = counts.images / elapsed if elapsed > 0 else 0.0
        of_total = "" if self.total is None else f" of {self.total:,}"
        line = (
            f"{counts.images:,}{of_total} images, {rate:,.1f}/s, {counts.requests:,} requests, "
            f"{counts.failed:,} failed, {counts.rejected:,} rejected, {counts.bytes_sent / 1e6:,.1f} MB sent"
        )
        left = 0 if self.total is None else self.total - counts.images
        if left and rate:
            line += f", {timedelta(seconds=round(left / rate))} left"
        if pause := self._pacer.pause_left:
            until = utc_now() + timedelta(seconds=pause)
            line += f", throttled: next request at {until:%H:%M:%S} UTC, in {pause:.0f} s"
        return line
