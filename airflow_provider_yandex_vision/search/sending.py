"""Send batches, within the window and at the pacer's rate, and decide what becomes of their images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeAlias

from airflow_provider_yandex_vision.search.ledger import Limits
from airflow_provider_yandex_vision.search.pacing import Clock, Pacer
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.search.queues import Batch, Packer
from airflow_provider_yandex_vision.search.retries import Retries
from airflow_provider_yandex_vision.search.service import Service
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.search.workers import Stop, Stopped, Workers
from airflow_provider_yandex_vision.vision import errors
from airflow_provider_yandex_vision.vision.faults import Level, code_of, fault_of
from airflow_provider_yandex_vision.vision.models import CopySearchResult, PreparedImage, Status

log = logging.getLogger(__name__)

LOST_BATCHES_MEAN_OUTAGE = 3
WEIGHT_OF_LASTING_FAULTS = 0.1
"""So many full ones, without an answer in between."""
SECONDS_BETWEEN_WARNINGS = 5.0

Settled: TypeAlias = "list[tuple[PreparedImage, CopySearchResult]]"


@dataclass(frozen=True, slots=True)
class Sent:
    """A worker sent a batch, the search's request of that number; it has results, or an error."""

    batch: Batch
    number: int
    results: list[CopySearchResult]
    error: BaseException | None = None
    throttled: bool = False


class Failure(NamedTuple):
    """An image without an answer: its result if nothing better comes, and why."""

    image: PreparedImage
    result: CopySearchResult
    error: errors.ServiceError


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
        self._max_images = service.max_images_per_request
        self.limits = Limits(settings, pacer)
        self._counts = counts
        self._stop = stop
        self._clock = clock
        self._now = now
        self._lost_in_a_row = 0.0
        self._submitted = 0
        self._last_answered = 0
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
        self._submitted += 1
        self.workers.submit(partial(self._send, batch, self._submitted))
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
        if not isinstance(error, errors.ServiceError):
            self._stop.drain(error)
            return []
        if isinstance(error, errors.InvalidRequestError):
            return self._take_refusal(sent.batch, error)
        return self._take_failures([Failure(image, self._result(image, error), error) for image in sent.batch])

    def _take_results(self, sent: Sent) -> Settled:
        settled: Settled = []
        failures: list[Failure] = []
        for image, result in zip(sent.batch, sent.results, strict=True):
            if result.status == "failed" and not self._stop.stopping:
                fault, code = fault_of(Level.IMAGE, 200, result.error_code), result.error_code
                reason = result.error_message or "no explanation given"
                error = fault(reason, http_status=200, code=code, uris=[image.uri])
                failures.append(Failure(image, result, error))
            else:
                settled.append((image, result))
        answered = any(result.status in ("found", "none") for result in sent.results)
        if answered:
            self._lost_in_a_row = 0.0
            self._last_answered = max(self._last_answered, sent.number)
        return settled + (self._take_failures(failures, beside_answers=answered) if failures else [])

    def _take_refusal(self, batch: Batch, error: errors.InvalidRequestError) -> Settled:
        """Halve a refused batch until the image at fault is alone.

        A refusal proves nothing: in an outage, some hosts refuse everything. So the image alone is asked again, like in
        an outage, until one of the requests that were sent meanwhile is answered. If there were none or it takes too
        many attempts, an answer since the first refusal suffices.
        """
        for image in batch:
            failures = self.retries.failures(image)
            failures.refused_after = min(failures.refused_after, self._submitted)
        if len(batch) > 1:
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                self.retries.whole.add(half, 0.0)
            return []
        failures = self.retries.failures(batch[0])
        failures.refused_alone += 1
        if failures.refused_alone == 1:
            failures.refused_alone_after = self._submitted
        sent_since = self._submitted - failures.refused_alone_after
        others_answered = self._last_answered > failures.refused_alone_after or sent_since < failures.refused_alone
        at_fault = failures.refused_alone > 1 and self._last_answered > failures.refused_after
        result = self._result(batch[0], error, "rejected" if at_fault else "failed")
        if at_fault and others_answered:
            return [(batch[0], result)]
        return self._take_failures([Failure(batch[0], result, error)])

    def _take_failures(self, failed: list[Failure], *, beside_answers: bool = False) -> Settled:
        """Send images again, or give them up: all of a request, or some that failed in a reply with answers."""
        fatal = next((failure.error for failure in failed if isinstance(failure.error, errors.AccessError)), None)
        if fatal and not self._last_answered:
            self._stop.drain(fatal)
            return []
        again: list[Failure] = []
        given_up: list[Failure] = []
        for failure in failed:
            self.retries.failures(failure.image).beside_answers |= beside_answers
            allowed = self.retries.count(failure.image, type(failure.error)) and _may_pass(failure)
            (again if allowed else given_up).append(failure)
        if again and beside_answers:
            for failure in again:
                self.retries.add(self.retries.parts, [failure.image], type(failure.error))
        elif again:
            self._send_again(again)
        lost = [failure for failure in given_up if not self.retries.failures(failure.image).beside_answers]
        # A retry begins with all images that failed before, so that of itself is no outage.
        self._lost_in_a_row += sum(1.0 if _may_pass(failure) else WEIGHT_OF_LASTING_FAULTS for failure in lost)
        if lost and self._lost_in_a_row >= LOST_BATCHES_MEAN_OUTAGE * self._max_images:
            self._stop.drain(lost[0].error)
        return [(failure.image, failure.result) for failure in given_up]

    def _send_again(self, failed: list[Failure]) -> None:
        """As one batch, which keeps its slot."""
        error = next((each.error for each in failed if not isinstance(each.error, errors.ThrottledError)), None)
        slowest = error or failed[0].error
        batch = [failure.image for failure in failed]
        delay = self.retries.add(self.retries.whole, batch, type(slowest), slowest.retry_after)
        if error and self._clock() >= self._quiet_until:
            # In an outage every request has the same to say.
            self._quiet_until = self._clock() + SECONDS_BETWEEN_WARNINGS
            log.warning("Request failed, retrying in %.1f s: %s", delay, error)

    def _result(self, image: PreparedImage, error: errors.ServiceError, status: Status = "failed") -> CopySearchResult:
        return image.result(status, self._now(), error_code=code_of(error), error_message=error.message)


def _may_pass(failure: Failure) -> bool:
    """Whether another attempt may be answered."""
    return type(failure.error) is not errors.ServiceError


def _send(service: Service, pacer: Pacer, batch: Batch, number: int) -> Sent:
    """In a worker: one request, when the pacer allows it. The pacer hears of it first, for the other workers."""
    try:
        sent_at = pacer.wait()
        results = service.batch_analyze(batch)
    except errors.ThrottledError as error:
        pacer.throttled(sent_at, error.retry_after)
        return Sent(batch, number, [], error, throttled=True)
    except BaseException as error:
        return Sent(batch, number, [], error)
    throttled = any(fault_of(Level.IMAGE, 200, result.error_code) is errors.ThrottledError for result in results)
    if throttled:
        pacer.throttled(sent_at)
    else:
        pacer.succeeded(sent_at)
    return Sent(batch, number, results, throttled=throttled)
