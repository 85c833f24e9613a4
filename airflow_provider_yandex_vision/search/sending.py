"""Send batches, within the window and at the pacer's rate, and decide what becomes of their images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeAlias

from airflow_provider_yandex_vision.search.ledger import Limits
from airflow_provider_yandex_vision.search.pacing import Clock, Pacer
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.search.queues import Batch, Packer, Retries
from airflow_provider_yandex_vision.search.service import Service
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.search.workers import Stop, Stopped, Workers
from airflow_provider_yandex_vision.vision import errors
from airflow_provider_yandex_vision.vision.models import CopySearchResult, PreparedImage, Status

log = logging.getLogger(__name__)

LOST_BATCHES_MEAN_OUTAGE = 3
REFUSALS_MEAN_BROKEN_CONTRACT = 64
SECONDS_BETWEEN_WARNINGS = 5.0

THROTTLED_CODE = "RESOURCE_EXHAUSTED"
RETRIED_CODES = frozenset({"DEADLINE_EXCEEDED", THROTTLED_CODE, "INTERNAL", "UNAVAILABLE", "PROTOCOL"})
"""Codes of a single image for which another request may work."""

Settled: TypeAlias = "list[tuple[PreparedImage, CopySearchResult]]"


@dataclass(frozen=True, slots=True)
class Sent:
    """A worker sent a batch; it has results, or an error."""

    batch: Batch
    results: list[CopySearchResult]
    error: BaseException | None = None
    throttled: bool = False


class Sending:
    """Has workers send batches, and decides what is sent again. Only the consuming thread uses it.

    :param outcomes: gets a :class:`Sent` for each batch.
    """

    def __init__(
        self,
        service: Service,
        settings: Settings,
        pacer: Pacer,
        counts: Counts,
        stop: Stop,
        outcomes: SimpleQueue[Any],
        *,
        clock: Clock,
        now: Callable[[], datetime],
    ) -> None:
        self.in_flight = 0
        self.workers = Workers("send", settings.max_concurrent_requests, outcomes)
        self.packer = Packer(service.max_images_per_request, settings.max_request_bytes - service.envelope_bytes)
        self.retries = Retries(settings, clock)
        self._send = partial(_send, service, pacer)
        self.limits = Limits(settings, pacer)
        self._counts = counts
        self._stop = stop
        self._clock = clock
        self._now = now
        self._lost_in_a_row = 0
        self._refused_in_a_row = 0
        self._quiet_until = clock()

    @property
    def has_free_slot(self) -> bool:
        """A batch that waits for its next attempt keeps its slot, so a broken service is not flooded."""
        return self.in_flight + len(self.retries.whole) < self.limits.window

    @property
    def idle(self) -> bool:
        return not (self.in_flight or self.retries.whole or self.retries.parts)

    def start_retries(self) -> None:
        while batch := self.retries.parts.pop_due():
            for image in batch:
                self.packer.add(image)
        while batch := self.retries.whole.pop_due():
            self.submit(batch)

    def submit(self, batch: Batch) -> None:
        self.in_flight += 1
        self.workers.submit(partial(self._send, batch))
        if self.in_flight > len(self.workers):
            self.workers.grow()

    def take_sent(self, sent: Sent) -> Settled:
        """:return: images that have their result now; the others are going to be sent again."""
        self.in_flight -= 1
        error = sent.error
        if isinstance(error, Stopped):
            return []
        self._counts.requests += 1
        self._counts.throttles += sent.throttled
        if not isinstance(error, errors.ServiceError) or error.http_status is not None:
            # Without a reply, nobody knows how much was sent.
            self._counts.bytes_sent += sum(len(image.part) for image in sent.batch)
        if error is None:
            return self._take_results(sent)
        if self._stop.stopping:
            return []
        if isinstance(error, errors.InvalidRequestError):
            return self._take_refusal(sent.batch, error)
        if isinstance(error, errors.TransientError):
            return self._take_failure(sent.batch, error)
        self._stop.drain(error)
        return []

    def _take_results(self, sent: Sent) -> Settled:
        self._lost_in_a_row = self._refused_in_a_row = 0
        settled: Settled = []
        for image, result in zip(sent.batch, sent.results, strict=True):
            final = self._stop.stopping or result.error_code not in RETRIED_CODES
            if final or self.retries.add(self.retries.parts, [image], result.error_code == THROTTLED_CODE)[0]:
                settled.append((image, result))
        return settled

    def _take_refusal(self, batch: Batch, error: errors.InvalidRequestError) -> Settled:
        """Halve a refused batch until the image at fault is alone."""
        if len(batch) > 1:
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                self.retries.whole.add(half, 0.0)
            return []
        self._refused_in_a_row += 1
        if self._refused_in_a_row >= REFUSALS_MEAN_BROKEN_CONTRACT:
            self._stop.drain(error)
        return self._settle(batch, "rejected", error)

    def _take_failure(self, batch: Batch, error: errors.TransientError) -> Settled:
        throttled = isinstance(error, errors.ThrottledError)
        lost, delay = self.retries.add(self.retries.whole, batch, throttled, error.retry_after)
        if len(lost) == len(batch):
            self._lost_in_a_row += 1
            if self._lost_in_a_row >= LOST_BATCHES_MEAN_OUTAGE:
                self._stop.drain(error)
        elif not throttled and self._clock() >= self._quiet_until:
            # In an outage every request has the same to say.
            self._quiet_until = self._clock() + SECONDS_BETWEEN_WARNINGS
            log.warning("Request failed, retrying in %.1f s: %s", delay, error)
        return self._settle(lost, "failed", error)

    def _settle(self, batch: Batch, status: Status, error: errors.ServiceError) -> Settled:
        code = error.code or (f"HTTP_{error.http_status}" if error.http_status else "NO_REPLY")
        now = self._now()
        return [(image, image.result(status, now, error_code=code, error_message=error.message)) for image in batch]


def _send(service: Service, pacer: Pacer, batch: Batch) -> Sent:
    """In a worker: one request, when the pacer allows it. The pacer hears of it first, for the other workers."""
    try:
        sent_at = pacer.wait()
        results = service.batch_analyze(batch)
    except errors.ThrottledError as error:
        pacer.throttled(sent_at, error.retry_after)
        return Sent(batch, [], error, throttled=True)
    except BaseException as error:
        return Sent(batch, [], error)
    throttled = any(result.error_code == THROTTLED_CODE for result in results)
    if throttled:
        pacer.throttled(sent_at)
    else:
        pacer.succeeded(sent_at)
    return Sent(batch, results, throttled=throttled)
