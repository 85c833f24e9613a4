"""Send batches, in parallel and at the pacer's pace, until there is an answer or no point in asking again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from queue import SimpleQueue
from typing import Protocol

from airflow_provider_yandex_vision.vision.checks import CheckedImage
from airflow_provider_yandex_vision.vision.errors import ServiceError, ThrottledError, TransientError
from airflow_provider_yandex_vision.vision.messages import CopySearchResult
from airflow_provider_yandex_vision.vision.pacing import Clock, Pacer
from airflow_provider_yandex_vision.vision.packing import Batch
from airflow_provider_yandex_vision.vision.progress import Counts
from airflow_provider_yandex_vision.vision.reading import Stopped
from airflow_provider_yandex_vision.vision.settings import RetryPolicy

log = logging.getLogger(__name__)

SECONDS_BETWEEN_WARNINGS = 5.0

THROTTLED_CODE = "RESOURCE_EXHAUSTED"


class Client(Protocol):
    """What is asked of a client; :class:`VisionClient` is the real one."""

    def batch_analyze(self, images: Sequence[CheckedImage]) -> list[CopySearchResult]: ...

    def abort(self) -> None: ...


class Sender:
    """Sends one batch at a time and retries what may pass. Safe to share between threads.

    :param sleep: waits that many seconds; raises :class:`Stopped` as soon as nothing more is to be sent.
    """

    def __init__(
        self,
        client: Client,
        pacer: Pacer,
        policy: RetryPolicy,
        counts: Counts,
        *,
        sleep: Callable[[float], None],
        clock: Clock = time.monotonic,
    ) -> None:
        self._client = client
        self._pacer = pacer
        self._policy = policy
        self._counts = counts
        self._sleep = sleep
        self._clock = clock
        self._quiet_until = clock()

    def send(self, batch: Batch) -> list[CopySearchResult]:
        """Results in the order of the batch.

        :raises ServiceError: after the last attempt, or at once where none helps.
        """
        deadline = self._clock() + self._policy.max_seconds
        failures = 0
        for attempt in count(1):
            self._sleep(0)
            sent_at = self._pacer.wait()
            self._counts.add_request(sum(len(image.spec) for image in batch))
            try:
                results = self._client.batch_analyze(batch)
            except TransientError as error:
                failures += not isinstance(error, ThrottledError)
                if failures >= self._policy.max_attempts or self._clock() >= deadline:
                    raise
                self._hold_back(error, sent_at, attempt, failures)
            else:
                self._take_note(results, sent_at)
                return results
        raise AssertionError("count() does not end")

    def _hold_back(self, error: TransientError, sent_at: float, attempt: int, failures: int) -> None:
        self._sleep(0)
        if isinstance(error, ThrottledError):
            self._throttled(sent_at, error.retry_after)
            return
        asked = min(error.retry_after or 0.0, self._policy.max_retry_after)
        delay = max(asked, self._policy.backoff.delay(failures))
        self._warn(f"Attempt {attempt}: {error}; next try in {delay:.1f} s")
        self._sleep(delay)

    def _warn(self, line: str) -> None:
        """In an outage every thread has the same to say: one of them, now and then, is enough."""
        if self._clock() >= self._quiet_until:
            self._quiet_until = self._clock() + SECONDS_BETWEEN_WARNINGS
            log.warning("%s", line)

    def _take_note(self, results: list[CopySearchResult], sent_at: float) -> None:
        if any(result.error_code == THROTTLED_CODE for result in results):
            self._throttled(sent_at, None)
        else:
            self._pacer.succeeded(sent_at)

    def _throttled(self, sent_at: float, retry_after: float | None) -> None:
        self._counts.add_throttle()
        if self._pacer.throttled(sent_at, retry_after):
            log.warning(
                "Rate limited by the service: next request in %.1f s, then %.1f requests/s",
                self._pacer.pause_left,
                self._pacer.requests_per_second,
            )


class SenderPool:
    """The window: as many threads as there may be requests under way.

    :param on_results: takes a batch and its results.
    :param on_error: takes a batch and why it came to nothing.
    :param on_unsent: takes a batch that was not sent, since the search has ended.
    :param on_crash: takes a batch and an error that nobody foresaw.
    """

    def __init__(
        self,
        sender: Sender,
        size: int,
        *,
        on_results: Callable[[Batch, list[CopySearchResult]], None],
        on_error: Callable[[Batch, ServiceError], None],
        on_unsent: Callable[[Batch], None],
        on_crash: Callable[[Batch, BaseException], None],
    ) -> None:
        self._sender = sender
        self._on_results = on_results
        self._on_error = on_error
        self._on_unsent = on_unsent
        self._on_crash = on_crash
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self.threads = [
            threading.Thread(target=self._work, name=f"vision-send-{number}", daemon=True) for number in range(size)
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def submit(self, batch: Batch) -> None:
        self._batches.put(batch)

    def stop(self) -> None:
        """Let every thread end after what it is doing now."""
        for _ in self.threads:
            self._batches.put(None)

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                results = self._sender.send(batch)
            except ServiceError as error:
                self._on_error(batch, error)
            except Stopped:
                self._on_unsent(batch)
            except BaseException as error:
                self._on_crash(batch, error)
            else:
                self._on_results(batch, results)
