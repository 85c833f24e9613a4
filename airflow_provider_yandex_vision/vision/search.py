"""Any number of images in, a stream of results out.

Threads read and send; what they have to say they post to one inbox, and everything that changes the
search's state runs in the thread that consumes the results. So there is nothing to lock here, and a consumer
that stops consuming stops the search.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeAlias

from airflow_provider_yandex_vision.vision.answers import Answers, copy_for
from airflow_provider_yandex_vision.vision.checks import CheckedImage, Convert, result_of
from airflow_provider_yandex_vision.vision.client import utc_now
from airflow_provider_yandex_vision.vision.errors import (
    AccessError,
    ImageError,
    InvalidRequestError,
    SearchStoppedError,
    ServiceError,
    TransientError,
)
from airflow_provider_yandex_vision.vision.messages import (
    MAX_IMAGES_PER_REQUEST,
    Answer,
    CopySearchResult,
    Image,
    Status,
)
from airflow_provider_yandex_vision.vision.pacing import Clock, Pacer, Random
from airflow_provider_yandex_vision.vision.packing import Batch, Packer
from airflow_provider_yandex_vision.vision.progress import Counts, Progress
from airflow_provider_yandex_vision.vision.reading import Budget, Reader, Stopped, held_bytes
from airflow_provider_yandex_vision.vision.requeue import Requeue
from airflow_provider_yandex_vision.vision.sending import Client, Sender, SenderPool
from airflow_provider_yandex_vision.vision.settings import Settings

LOST_BATCHES_MEAN_OUTAGE = 3
REFUSALS_MEAN_BROKEN_CONTRACT = 64
SECONDS_TO_STOP = 1.5
NEVER = float("inf")

KnownAnswers: TypeAlias = Callable[[Collection[str]], Mapping[str, CopySearchResult]]
"""Answers paid for earlier, by the SHA-256 of the content, for those of the given hashes that have one."""


class CopySearch:
    """One search over some images: iterate over it once.

    Identical bytes are searched once and every URI gets the answer. Results come as they arrive, in no
    particular order; every image ends in exactly one.

    :param convert: makes bytes that the service takes out of bytes it does not.
    :param known: looks up answers that need not be paid again.
    :param wait: waits for an event at most so many seconds; a test's own proves waiting without waiting.
    :raises ServiceError: while iterating, where going on is pointless: access refused, or the service gone.
        Results of requests that were under way are yielded first, since they are paid.
    """

    def __init__(
        self,
        client: Client,
        images: Iterable[Image],
        settings: Settings,
        *,
        convert: Convert | None = None,
        known: KnownAnswers | None = None,
        clock: Clock = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
        random: Random = random.random,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.counts = Counts()
        self._client = client
        self._settings = settings
        self._known = known
        self._clock = clock
        self._wait = wait
        self._now = now
        self._closed = False
        self._halt = threading.Event()
        pacer = Pacer(
            settings.requests_per_second,
            max_pause=settings.retries.max_retry_after,
            clock=clock,
            sleep=self._sleep,
            random=random,
        )
        self._pacer = pacer
        self._progress = Progress(self.counts, pacer, clock=clock)
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._budget = Budget(settings.max_held_images, settings.max_held_bytes)
        self._reader = Reader(
            images,
            self._budget,
            limits=settings.limits,
            convert=convert,
            readers=settings.max_concurrent_reads,
            on_image=self._post(self._take_image),
            on_end=self._post(self._take_end),
            on_crash=self._post(self._abort),
        )
        self._senders = SenderPool(
            Sender(client, pacer, settings.retries, self.counts, sleep=self._sleep, clock=clock),
            settings.max_concurrent_requests,
            on_results=self._post(self._take_results),
            on_error=self._on_error,
            on_unsent=self._post(self._take_unsent),
            on_crash=self._post(self._take_crash),
        )
        self._packer = Packer(settings.limits.max_request_bytes)
        self._unpacked: list[CheckedImage] = []
        self._requeue = Requeue(settings.retries, clock)
        self._ready: deque[CopySearchResult] = deque()
        self._images_read = 0
        self._under_way = 0
        self._lost_in_a_row = 0
        self._refused_in_a_row = 0
        self._flush_at = NEVER
        self._error: BaseException | None = None
        self._aborted = False

    def __iter__(self) -> Iterator[CopySearchResult]:
        for results in self.batches(max_results=1):
            yield from results

    def batches(self, *, max_results: int = 64, max_seconds: float = 1.0) -> Generator[list[CopySearchResult]]:
        """Results in lists, to be stored together.

        :param max_results: of a list.
        :param max_seconds: how long the first result of a list waits for others.
        """
        batch: list[CopySearchResult] = []
        due = 0.0
        with closing(self._stream(max_seconds)) as stream:
            for result in stream:
                if result is not None:
                    due = due if batch else self._clock() + max_seconds
                    batch.append(result)
                if batch and (len(batch) >= max_results or self._clock() >= due):
                    yield batch
                    batch = []
        if batch:
            yield batch
        if self._error is not None:
            raise self._error
        self._progress.finish()

    def close(self) -> None:
        """Stop at once: nothing more is sent, replies under way are not waited for. Safe to call from any thread."""
        if not self._closed:
            self._closed = True
            self._halt.set()
            self._reader.stop()
            self._senders.stop()
            if self._under_way:
                self._client.abort()
        deadline = time.monotonic() + SECONDS_TO_STOP
        for thread in (*self._senders.threads, *self._reader.threads):
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _stream(self, tick: float) -> Generator[CopySearchResult | None]:
        """Results as they come; None where none came for so many seconds."""
        with closing(Answers()) as self._answers, closing(self):
            self._reader.start()
            self._senders.start()
            while not self._finished():
                if self._closed:
                    raise SearchStoppedError("the search was stopped before it was complete")
                try:
                    self._inbox.get(timeout=self._seconds_until_due(tick))()
                except Empty:
                    # Perhaps a reader hangs: the others must not wait for it.
                    self._reader.widen()
                    yield None
                # Before results are handed over: senders work while the consumer stores them.
                self._dispatch()
                self._progress.tick()
                while self._ready:
                    result = self._ready.popleft()
                    self._budget.release(images=1)
                    self.counts.add_result(result)
                    yield result

    def _finished(self) -> bool:
        if self._aborted:
            return self._under_way == 0
        return self._progress.total == self.counts.images

    def _seconds_until_due(self, tick: float) -> float:
        due = min(self._flush_at, self._requeue.next_due)
        return min(max(0.0, due - self._clock()), tick)

    def _take_image(self, image: Image, outcome: CheckedImage | ImageError) -> None:
        self._images_read += 1
        if isinstance(outcome, ImageError):
            self._budget.release(size=held_bytes(image))
            self._ready.append(result_of(image, outcome, self._now()))
            return
        self._budget.release(size=held_bytes(image) - outcome.size)
        if self._answers.is_awaited(outcome):
            self._answers.wait(outcome)
            self._budget.release(size=outcome.size)
        elif answer := self._answers.given(outcome):
            self._deliver_known(outcome, answer)
        else:
            self._answers.expect(outcome)
            self._unpacked.append(outcome)

    def _deliver_known(self, image: CheckedImage, answer: CopySearchResult) -> None:
        self._budget.release(size=image.size)
        self.counts.duplicates += 1
        self._ready.append(answer)

    def _dispatch(self) -> None:
        if self._aborted:
            return
        for image in self._requeue.pop_due():
            self._packer.add(image)
        flush = self._flush_is_due()
        # A sender gets its next batch only when its last results were taken: what is paid and not yet consumed
        # is never more than the window.
        while self._has_idle_sender() and (batch := self._next_batch(flush)):
            self._under_way += 1
            self._senders.submit(batch)
            self._flush_at = NEVER
        if self._packer or self._unpacked:
            self._flush_at = min(self._flush_at, self._clock() + self._settings.linger)

    def _next_batch(self, flush: bool) -> Batch | None:
        batch = self._packer.take()
        if batch is None and (flush or len(self._unpacked) + len(self._packer) >= MAX_IMAGES_PER_REQUEST):
            self._pack_unknown()
            batch = self._packer.take(partial=flush)
        return batch

    def _flush_is_due(self) -> bool:
        """Whether waiting for a full batch is in vain, or has lasted long enough while a sender is idle."""
        held_up = self._budget.exhausted and not self._under_way and not self._requeue
        no_more_coming = self._progress.total is not None or held_up
        if no_more_coming and self._images_read == self._reader.handed_out:
            return True
        return self._clock() >= self._flush_at and self._has_idle_sender()

    def _has_idle_sender(self) -> bool:
        return self._under_way < self._settings.max_concurrent_requests

    def _pack_unknown(self) -> None:
        images, self._unpacked = self._unpacked, []
        known = self._known([image.sha256 for image in images]) if self._known and images else {}
        for image in images:
            if image.sha256 in known:
                self.counts.duplicates += 1
                self._settle(image, copy_for(image, known[image.sha256]))
            else:
                self._packer.add(image)

    def _take_results(self, batch: Batch, results: list[CopySearchResult]) -> None:
        self._under_way -= 1
        self._lost_in_a_row = self._refused_in_a_row = 0
        for image, result in zip(batch, results, strict=True):
            if self._aborted or not self._requeue.take(image, result.error_code, self._pacer.pause_left):
                self._settle(image, result)

    def _take_error(self, batch: Batch, error: ServiceError) -> None:
        self._under_way -= 1
        if isinstance(error, InvalidRequestError):
            self._take_refusal(batch, error)
        elif isinstance(error, TransientError):
            self._take_loss(batch, error)
        else:
            self._abort(error)

    def _take_refusal(self, batch: Batch, error: InvalidRequestError) -> None:
        """Halve a refused batch until the image at fault is alone."""
        if self._aborted:
            return
        if len(batch) > 1:
            middle = len(batch) // 2
            self._packer.add_batches(batch[:middle], batch[middle:])
            return
        self._settle(batch[0], self._without_answer(batch[0], "rejected", error))
        self._refused_in_a_row += 1
        if self._refused_in_a_row >= REFUSALS_MEAN_BROKEN_CONTRACT:
            self._abort(error)

    def _take_loss(self, batch: Batch, error: TransientError) -> None:
        for image in batch:
            self._settle(image, self._without_answer(image, "failed", error))
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= LOST_BATCHES_MEAN_OUTAGE:
            self._abort(error)

    def _take_unsent(self, batch: Batch) -> None:
        self._under_way -= 1

    def _take_crash(self, batch: Batch, error: BaseException) -> None:
        self._under_way -= 1
        self._abort(error)

    def _without_answer(self, image: CheckedImage, status: Status, error: ServiceError) -> CopySearchResult:
        code = error.code or (f"HTTP_{error.http_status}" if error.http_status else "NO_REPLY")
        return image.result(Answer(status, error_code=code, error_message=error.message), self._now())

    def _settle(self, image: CheckedImage, result: CopySearchResult) -> None:
        """Give the answer to the image and to all of the same content."""
        self._budget.release(size=image.size)
        self._requeue.forget(image)
        self._ready.append(result)
        for copy in self._answers.settle(image, result):
            self.counts.duplicates += 1
            self._ready.append(copy)

    def _take_end(self, total: int, error: Exception | None) -> None:
        self._progress.total = total
        self._error = self._error or error

    def _abort(self, error: BaseException) -> None:
        """Begin nothing more; what is under way is paid, so its results are still taken."""
        self._error = self._error or error
        self._aborted = True
        self._halt.set()

    def _on_error(self, batch: Batch, error: ServiceError) -> None:
        """In the sender's thread: a refused key keeps the other senders from asking with it, at once."""
        if isinstance(error, AccessError):
            self._halt.set()
        self._inbox.put(partial(self._take_error, batch, error))

    def _sleep(self, seconds: float) -> None:
        if self._wait(self._halt, seconds) or self._halt.is_set():
            raise Stopped

    def _post(self, handler: Callable[..., None]) -> Callable[..., None]:
        return lambda *args: self._inbox.put(partial(handler, *args))
