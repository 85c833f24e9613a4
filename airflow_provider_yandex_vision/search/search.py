"""Any number of images in, a stream of results out.

Workers list, read and send; each puts what it did into one queue. The thread that consumes the results takes it from
there, changes all state and hands out the next jobs. So there is nothing to lock here, and a consumer that stops
consuming stops the search.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue

from airflow_provider_yandex_vision.search.claims import Answered, Claims
from airflow_provider_yandex_vision.search.duplicates import Duplicates
from airflow_provider_yandex_vision.search.ledger import Ledger, NoLedger
from airflow_provider_yandex_vision.search.pacing import Clock, Pacer, Random
from airflow_provider_yandex_vision.search.prepare import prepare_image, result_of_error
from airflow_provider_yandex_vision.search.progress import Counts, Progress
from airflow_provider_yandex_vision.search.queues import Batch
from airflow_provider_yandex_vision.search.reading import Listed, Reading
from airflow_provider_yandex_vision.search.running import Read
from airflow_provider_yandex_vision.search.sending import Sending, Sent
from airflow_provider_yandex_vision.search.service import Service
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.search.workers import Stop, Wait
from airflow_provider_yandex_vision.vision.errors import ImageError, SearchStoppedError
from airflow_provider_yandex_vision.vision.models import CopySearchResult, Image, PreparedImage, utc_now

SECONDS_TO_STOP = 1.5
SECONDS_BETWEEN_ABORTS = 0.05
NEVER = float("inf")


class CopySearch:
    """One search over some images. Iterate over it once.

    Identical bytes are searched once, and every image with them gets the answer. Results come as they arrive, in no
    particular order; every image ends in exactly one.

    :param ledger: knows the other tasks that share the limits, and what need not be paid for again.
    :param wait: waits for an event; tests pass their own to prove waiting without waiting.
    :raises ServiceError: while iterating, if going on is pointless: access denied, or the service is down. Results of
        requests in flight are yielded first, since they are paid for.
    """

    def __init__(
        self,
        service: Service,
        images: Iterable[Image],
        settings: Settings,
        *,
        ledger: Ledger | None = None,
        clock: Clock = time.monotonic,
        wait: Wait = threading.Event.wait,
        random: Random = random.random,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.counts = Counts()
        self._service = service
        self._linger = settings.linger
        self._claims = Claims(ledger or NoLedger(), settings.poll_seconds, clock)
        self._clock = clock
        self._now = now
        self._stop = Stop(wait)
        self._outcomes: SimpleQueue[Image | Listed | Read | Sent | None] = SimpleQueue()
        rate, max_pause = settings.requests_per_second, settings.max_retry_after
        pacer = Pacer(rate, max_pause=max_pause, clock=clock, sleep=self._stop.sleep, random=random)
        self._progress = Progress(self.counts, pacer, clock=clock)
        prepare = partial(prepare_image, service=service, settings=settings)
        self._reading = Reading(images, prepare, settings, self._outcomes)
        self._sending = Sending(service, settings, pacer, self.counts, self._stop, self._outcomes, clock=clock, now=now)
        self._duplicates = Duplicates()
        self._ready: deque[CopySearchResult] = deque()
        self._flush_at = NEVER

    def __iter__(self) -> Iterator[CopySearchResult]:
        for results in self.batches(max_results=1):
            yield from results

    def batches(self, *, max_results: int = 64, max_seconds: float = 1.0) -> Generator[list[CopySearchResult]]:
        """Results in lists, to be stored together.

        :param max_results: of a list.
        :param max_seconds: how long the first result of a list waits for others.
        """
        batch: list[CopySearchResult] = []
        due = NEVER
        with closing(self._duplicates), closing(self):
            while not self._is_over():
                if self._stop.closed:
                    raise SearchStoppedError("the search was stopped before it was complete")
                self._start_jobs()
                self._take_outcome(max_seconds)
                # Before results are handed over, so that workers are busy while the consumer stores them.
                self._start_jobs()
                self._progress.tick()
                while self._ready:
                    due = due if batch else self._clock() + max_seconds
                    batch.append(self._pop_ready())
                    if len(batch) >= max_results:
                        yield batch
                        batch = []
                if batch and self._clock() >= due:
                    yield batch
                    batch = []
        if batch:
            yield batch
        if self._stop.error is not None:
            raise self._stop.error
        self._progress.finish()

    def close(self) -> None:
        """Stop at once: nothing more is read or sent, and replies in flight are not waited for.

        Safe to call from any thread and from a signal handler.
        """
        self._stop.close()
        pools = (self._reading.listers, self._reading.readers, self._sending.workers)
        for workers in pools:
            workers.close()
        self._outcomes.put(None)
        deadline = time.monotonic() + SECONDS_TO_STOP
        while self._sending.in_flight and time.monotonic() < deadline:
            # Again and again, for a request that had no connection yet.
            self._service.abort()
            if self._sending.workers.join(SECONDS_BETWEEN_ABORTS):
                break
        for workers in pools:
            workers.join(deadline - time.monotonic())

    def _is_over(self) -> bool:
        if self._stop.stopping and not self._stop.closed:
            return not self._sending.in_flight
        return self._reading.ended and not self._reading.held.images

    def _take_outcome(self, max_seconds: float) -> None:
        """Take what the workers did next, unless something else is due before."""
        flush_at = min(self._flush_at, self._claims.next_due) if self._sending.has_free_slot else NEVER
        due = NEVER if self._stop.stopping else min(flush_at, self._sending.retries.next_due)
        try:
            outcome = self._outcomes.get(timeout=min(max(0.0, due - self._clock()), max_seconds))
        except Empty:
            self._reading.take_silence()
            return
        match outcome:
            case Image():
                self._reading.take_image(outcome)
            case Listed():
                self._take_listed(outcome)
            case Read():
                self._take_read(outcome)
            case Sent():
                for image, result in self._sending.take_sent(outcome):
                    self._settle(image, result)

    def _take_listed(self, listed: Listed) -> None:
        self._reading.take_listed(listed)
        if listed.ended:
            self._progress.total = self._reading.listed
        self._stop.error = self._stop.error or listed.error

    def _take_read(self, read: Read) -> None:
        if not self._reading.take_read(read):
            return
        match read.outcome:
            case PreparedImage() as image:
                self._take_prepared(image)
            case ImageError() as error:
                self._ready.append(result_of_error(read.image, error, self._now()))
            case BaseException() as error:
                self._stop.drain(error)

    def _take_prepared(self, image: PreparedImage) -> None:
        answer = self._duplicates.answer(image)
        if answer is None and not self._duplicates.wait(image):
            self._claims.add(image)
            return
        self._reading.held.bytes -= image.size
        if answer is not None:
            self._ready.append(answer)
            self.counts.duplicates += 1

    def _start_jobs(self) -> None:
        if self._stop.stopping:
            return
        self._sending.limits.take(self._claims.ledger.share)
        self._reading.start_jobs()
        self._sending.start_retries()
        flush = self._flush_is_due()
        self._look_up(flush)
        while self._sending.has_free_slot and (batch := self._next_batch(flush)):
            self._sending.submit(batch)
            self._flush_at = NEVER
        if self._sending.packer or self._claims:
            self._flush_at = min(self._flush_at, self._clock() + self._linger)

    def _look_up(self, flush: bool) -> None:
        """Settle what has an answer already. Once for many images, and not while the window is full."""
        claims, wanted = self._claims, self._service.max_images_per_request - len(self._sending.packer)
        needed = claims.ready < wanted and (flush or len(claims) >= wanted)
        if self._sending.has_free_slot and (needed or claims.next_due <= self._clock()):
            self._take_answers(claims.look_up())

    def _next_batch(self, flush: bool) -> Batch | None:
        packer, claims, size = self._sending.packer, self._claims, self._service.max_images_per_request
        while (batch := packer.take()) is None and claims.ready and (flush or claims.ready + len(packer) >= size):
            ours, answered = claims.take(size - len(packer))
            for image in ours:
                packer.add(image)
            self._take_answers(answered)
        return batch or packer.take(partial=flush)

    def _flush_is_due(self) -> bool:
        """Whether waiting for a full batch is in vain, or has lasted long enough while a slot is free."""
        if self._reading.exhausted or (self._reading.idle and self._sending.idle):
            return True
        return self._clock() >= self._flush_at and self._sending.has_free_slot

    def _take_answers(self, answered: Answered) -> None:
        for image, answer in answered:
            self.counts.duplicates += 1
            self._settle(image, answer)

    def _settle(self, image: PreparedImage, result: CopySearchResult) -> None:
        """Give the answer to the image and to all with the same content."""
        self._reading.held.bytes -= image.size
        self._ready.append(result)
        duplicates = self._duplicates.settle(image, result, final=self._sending.retries.is_spent(image))
        self._sending.retries.forget(image)
        self._ready.extend(duplicates)
        self.counts.duplicates += len(duplicates)

    def _pop_ready(self) -> CopySearchResult:
        result = self._ready.popleft()
        self._reading.held.images -= 1
        self.counts.add(result.status, result.copy_count, len(result.matches))
        return result
