"""What the emulator answers, as a function from request to reply: no sockets, and time is passed in."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock
from typing import NamedTuple
from urllib.parse import urlsplit

from airflow_provider_yandex_vision.emulator.contract import (
    COPY_SEARCH,
    INVALID_ARGUMENT,
    NOT_FOUND,
    RESOURCE_EXHAUSTED,
    UNAUTHENTICATED,
    UNIMPLEMENTED,
    AnalyzeSpec,
    Json,
    Refusal,
    parse_request,
)
from airflow_provider_yandex_vision.emulator.copies import (
    CopyIndex,
    Fingerprint,
    TooManyPixelsError,
    UndecodableError,
    fingerprint,
)
from airflow_provider_yandex_vision.emulator.pages import Page

ANALYZE = ("POST", "/vision/v1/batchAnalyze")
STATISTICS = ("GET", "/statistics")

FOLDER_ID = "b1gemulator000000000"
FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 20_000_000
MAX_TOP_RESULTS = 10


class Reply(NamedTuple):
    """An HTTP reply; the length and the type of the body are the server's to say."""

    status: int
    headers: dict[str, str]
    body: bytes


class TokenBucket:
    """Lets ``rate`` requests a second through, and after a quiet second as many at once.

    :param clock: seconds, never running backwards.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._capacity = self._tokens = max(rate, 1.0)
        self._clock = clock
        self._filled_at = clock()
        self._lock = Lock()

    def take(self) -> bool:
        """Whether one more request may pass now."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class Service:
    """``batchAnalyze`` for the feature ``IMAGE_COPY_SEARCH``, and ``GET /statistics``. Safe to share by threads.

    :param index: the pages that copies are looked for on.
    :param api_key: the only key let in; None lets everybody in.
    :param requests_per_second: more than this is answered with 429; None sets no limit.
    :param latency: seconds that a search takes longer than it must.
    :param folder_id: the folder of the key's service account.
    """

    def __init__(
        self,
        index: CopyIndex[Page],
        *,
        api_key: str | None = None,
        requests_per_second: float | None = None,
        latency: float = 0.0,
        folder_id: str = FOLDER_ID,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.index = index
        self._authorization = api_key and f"Api-Key {api_key}"
        self._bucket = TokenBucket(requests_per_second, clock) if requests_per_second else None
        self._latency = latency
        self._folder_id = folder_id
        self._sleep = sleep
        self._new_id = new_id
        self._statuses: Counter[int] = Counter()
        self._billed: Counter[str] = Counter()
        self._lock = Lock()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one request.

        :param path: as in the request line; a query is ignored.
        :param headers: with names in lower case.
        """
        ids = {"x-request-id": self._new_id(), "x-server-trace-id": self._new_id()}
        endpoint = (method, urlsplit(path).path)
        if endpoint == STATISTICS:
            return Reply(200, ids, _print(self.statistics()))
        try:
            status, reply = 200, self._route(endpoint, headers, body)
        except Refusal as refusal:
            status, reply = refusal.status, refusal.body
        with self._lock:
            self._statuses[status] += 1
        return Reply(status, ids, _print(reply))

    def statistics(self) -> Json:
        """Requests by HTTP status, and what was billed: in total, and how often by SHA-256 of the image."""
        with self._lock:
            return {
                "requests": {str(status): count for status, count in sorted(self._statuses.items())},
                "images": sum(self._billed.values()),
                "billed": dict(self._billed),
            }

    def _route(self, endpoint: tuple[str, str], headers: Mapping[str, str], body: bytes) -> Json:
        if endpoint != ANALYZE:
            raise Refusal(404, NOT_FOUND, "Not Found")
        if self._authorization and headers.get("authorization") != self._authorization:
            raise Refusal(401, UNAUTHENTICATED, "Unknown api key")
        if self._bucket and not self._bucket.take():
            raise Refusal(429, RESOURCE_EXHAUSTED, "Requests per second limit exceeded")
        results = [self._analyze(spec) for spec in parse_request(body, self._folder_id)]
        self._sleep(self._latency)
        return {"results": results}

    def _analyze(self, spec: AnalyzeSpec) -> Json:
        try:
            wanted = fingerprint(spec.content, formats=FORMATS, max_pixels=MAX_PIXELS)
        except UndecodableError:
            return _error(INVALID_ARGUMENT, "Can't decode Image")
        except TooManyPixelsError:
            too_large = _error(INVALID_ARGUMENT, f"Image is too large: at most {MAX_PIXELS} pixels are allowed")
            return {"results": [too_large for _ in spec.features]}
        return {"results": [self._run(feature, spec.content, wanted) for feature in spec.features]}

    def _run(self, feature: str, content: bytes, wanted: Fingerprint) -> Json:
        if feature != COPY_SEARCH:
            return _error(UNIMPLEMENTED, f"{feature} is not available: the emulator knows {COPY_SEARCH} only")
        copies = self.index.search(wanted)
        with self._lock:
            self._billed[hashlib.sha256(content).hexdigest()] += 1
        return {"imageCopySearch": _annotate(copies)}


def _annotate(copies: list[Page]) -> Json:
    if not copies:
        return {}
    return {"topResults": [page.to_json() for page in copies[:MAX_TOP_RESULTS]], "copyCount": str(len(copies))}


def _error(code: int, message: str) -> Json:
    return {"error": {"code": code, "message": message}}


def _print(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
