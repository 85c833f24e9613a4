"""From a request to its reply, without sockets; clock and sleep are injected."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock
from typing import NamedTuple

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


class Answer(NamedTuple):
    """An HTTP reply, without ``Content-Type`` and ``Content-Length``: the server adds them."""

    status: int
    headers: dict[str, str]
    body: bytes


class TokenBucket:
    """Allows ``rate`` requests per second, with bursts of one second's worth.

    :param clock: monotonic seconds.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._capacity = self._tokens = max(rate, 1.0)
        self._clock = clock
        self._filled_at = clock()
        self._lock = Lock()

    def take(self) -> bool:
        """Whether another request is allowed now."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class Service:
    """``batchAnalyze`` with the feature ``IMAGE_COPY_SEARCH``, and ``GET /statistics``. Thread-safe.

    :param index: the pages to search.
    :param api_key: the only key accepted; None accepts any request.
    :param requests_per_second: requests above this rate are answered with 429; None sets no limit.
    :param latency: seconds added to every search.
    :param folder_id: the folder of the key's service account.
    :param plain_json: print ``copyCount`` as a number, as the vendor's reference page shows, and defaults too; else
        print a text and leave defaults out, as protobuf does.
    """

    def __init__(
        self,
        index: CopyIndex[Page],
        *,
        api_key: str | None = None,
        requests_per_second: float | None = None,
        latency: float = 0.0,
        folder_id: str = FOLDER_ID,
        plain_json: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.index = index
        self._clock = clock
        self.set_api_key(api_key)
        self.set_quota(requests_per_second)
        self._latency = latency
        self._folder_id = folder_id
        self._annotate = _annotate_plainly if plain_json else _annotate
        self._sleep = sleep
        self._new_id = new_id
        self._statuses: Counter[int] = Counter()
        self._billed: Counter[str] = Counter()
        self._lock = Lock()

    def set_api_key(self, api_key: str | None) -> None:
        """Accept this key only from now on; None accepts any request."""
        self._authorization = api_key and f"Api-Key {api_key}"

    def set_quota(self, requests_per_second: float | None) -> None:
        """Answer 429 above this rate from now on; None sets no limit."""
        self._bucket = TokenBucket(requests_per_second, self._clock) if requests_per_second else None

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request.

        :param path: as in the request line; a query is ignored.
        :param headers: with names in lower case.
        """
        endpoint = (method, path.partition("?")[0])
        if endpoint == STATISTICS:
            return Answer(200, self._ids(), _print(self.statistics()))
        try:
            reply = self._route(endpoint, headers, body)
        except Refusal as refusal:
            return self.refuse(refusal)
        self._count(200)
        return Answer(200, self._ids(), _print(reply))

    def accepts(self, headers: Mapping[str, str]) -> bool:
        """Whether the key in the headers is the right one, so that the body is worth reading."""
        return not self._authorization or headers.get("authorization") == self._authorization

    def refuse(self, refusal: Refusal) -> Answer:
        self._count(refusal.status)
        return Answer(refusal.status, self._ids(), _print(refusal.body))

    def statistics(self) -> Json:
        """Requests by HTTP status, and billed images: their number, and how often each was billed, by SHA-256."""
        with self._lock:
            return {
                "requests": {str(status): count for status, count in sorted(self._statuses.items())},
                "images": sum(self._billed.values()),
                "billed": dict(self._billed),
            }

    def _ids(self) -> dict[str, str]:
        return {"x-request-id": self._new_id(), "x-server-trace-id": self._new_id()}

    def _count(self, status: int) -> None:
        with self._lock:
            self._statuses[status] += 1

    def _route(self, endpoint: tuple[str, str], headers: Mapping[str, str], body: bytes) -> Json:
        if endpoint != ANALYZE:
            raise Refusal(404, NOT_FOUND, "Not Found")
        if not self.accepts(headers):
            raise Refusal(401, UNAUTHENTICATED, "Unknown api key")
        if self._bucket and not self._bucket.take():
            raise Refusal(429, RESOURCE_EXHAUSTED, "Requests per second limit exceeded")
        results = [self._analyze(spec) for spec in parse_request(body, self._folder_id)]
        self._sleep(self._latency)
        return {"results": results}

    def _analyze(self, spec: AnalyzeSpec) -> Json:
        try:
            image = fingerprint(spec.content, formats=FORMATS, max_pixels=MAX_PIXELS)
        except UndecodableError:
            return _error(INVALID_ARGUMENT, "Can't decode Image")
        except TooManyPixelsError:
            too_large = _error(INVALID_ARGUMENT, f"Image is too large: at most {MAX_PIXELS} pixels are allowed")
            return {"results": [too_large for _ in spec.features]}
        return {"results": [self._run(feature, spec.content, image) for feature in spec.features]}

    def _run(self, feature: str, content: bytes, image: Fingerprint) -> Json:
        if feature != COPY_SEARCH:
            return _error(UNIMPLEMENTED, f"{feature} is not available: the emulator only supports {COPY_SEARCH}")
        copies = self.index.search(image)
        with self._lock:
            self._billed[hashlib.sha256(content).hexdigest()] += 1
        return {"imageCopySearch": self._annotate(copies)}


def _annotate(copies: list[Page]) -> Json:
    if not copies:
        return {}
    return {"topResults": [page.to_json() for page in copies[:MAX_TOP_RESULTS]], "copyCount": str(len(copies))}


def _annotate_plainly(copies: list[Page]) -> Json:
    return {"topResults": [], **_annotate(copies), "copyCount": len(copies)}


def _error(code: int, message: str) -> Json:
    return {"error": {"code": code, "message": message}}


def _print(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
