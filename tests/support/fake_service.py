"""A service in memory, for claims about the search."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from airflow_provider_yandex_vision.search.pacing import Backoff
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import CopySearchResult, Image, PreparedImage
from airflow_provider_yandex_vision.vision.errors import UnavailableError
from airflow_provider_yandex_vision.vision.wire import encode_image

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)

Answer = dict[str, Any]
"""Fields of a result that depend on the answer."""

NONE: Answer = {"status": "none", "copy_count": 0}


def found(copies: int) -> Answer:
    return {"status": "found", "copy_count": copies}


def failed(code: str, message: str | None = None) -> Answer:
    return {"status": "failed", "error_code": code, "error_message": message}


class FakeService:
    """Answers each image by ``answer``, unless ``refuse`` returns an error for the batch.

    :param latency: seconds.
    """

    max_images_per_request = 8
    envelope_bytes = 200
    encode = staticmethod(encode_image)

    def __init__(
        self,
        answer: Callable[[str], Answer] = lambda uri: NONE,
        refuse: Callable[[list[str]], Exception | None] = lambda uris: None,
        latency: float = 0.0,
    ) -> None:
        self._answer = answer
        self._refuse = refuse
        self._latency = latency
        self._lock = threading.Lock()
        self._aborted = threading.Event()
        self.batches: list[list[str]] = []
        self.answered: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0

    def batch_analyze(self, images: Sequence[PreparedImage]) -> list[CopySearchResult]:
        uris = [image.uri for image in images]
        with self._lock:
            self.batches.append(uris)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self._latency and self._aborted.wait(self._latency):
                raise UnavailableError("aborted")
            with self._lock:
                error = self._refuse(uris)
                if error:
                    raise error
                self.answered.update(image.sha256 for image in images)
                return [image.result(searched_at=NOW, **self._answer(image.uri)) for image in images]
        finally:
            with self._lock:
                self.in_flight -= 1

    def abort(self) -> None:
        self._aborted.set()


def settings(**given: Any) -> Settings:
    """Without waiting: no pace to speak of, no pause between attempts."""
    quick = {"requests_per_second": 100_000, "max_concurrent_requests": 4, "backoff": Backoff(base=0)}
    return Settings(**{**quick, **given})


def search(service: FakeService, images: Iterable[Image], **given: Any) -> dict[str, CopySearchResult]:
    """Results by URI, without pauses."""
    results = list(CopySearch(service, images, settings(**given), random=lambda: 0.0))
    assert len({result.uri for result in results}) == len(results)
    return {result.uri: result for result in results}


def consume(run: CopySearch) -> tuple[list[CopySearchResult], Exception | None]:
    """All results, and the error that ended them."""
    results: list[CopySearchResult] = []
    try:
        results.extend(run)
    except Exception as error:
        return results, error
    return results, None


def search_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("vision-")]


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
