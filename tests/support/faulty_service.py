"""A service that answers as the emulator does, except for the requests that a fault is injected into.

The true answer for an image follows from its SHA-256, so any result can be judged. By that hash the service counts
what it billed and which answers reached the client whole.
"""

from __future__ import annotations

import hashlib
import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from itertools import cycle
from typing import NamedTuple, TypeAlias

import pybase64

from airflow_provider_yandex_vision.emulator.contract import AnalyzeSpec, Json
from airflow_provider_yandex_vision.vision import CopySearchResult
from airflow_provider_yandex_vision.vision.errors import GRPC_CODES
from tests.support.counting import CountingService
from tests.support.loopback import Loopback, Request, reply

TRANSIENT_CODES = (4, 8, 13, 14)
ACCESS_CODES = (7, 12, 16)
COSTLY_FAULTS = frozenset(
    {
        "connection refused",
        "reset before the search",
        "reset before the reply",
        "reset in the reply",
        "stalls in the reply's head",
        "stalls in the reply",
        "103 before the reply",
        "202",
        "204",
        "206",
        "504",
        "504 after the search",
        "HTML, status 200",
        "truncated JSON",
        "wrong number of results",
        "result of the wrong type",
        "duplicate key, two answers",
        "reply later than the timeout",
        "reply longer than it says",
        "reply shorter than it says",
        "drips in the status line",
        "drips in the headers",
        "drips 100 Continue",
        "drips in a chunk's extension",
        "drips in the trailers",
        "drips gzip of nothing",
        "reply too large",
        "gzip bomb",
    }
)
"""After these the client must assume that the images were billed, so each image meets one of them at most."""
DOWN_SECONDS = 0.1


class ImageError(NamedTuple):
    """The error of one image in a good reply, at the level of the file or of the feature."""

    code: int
    of_file: bool

    def to_json(self) -> Json:
        error = {"error": {"code": self.code, "message": "injected"}}
        return error if self.of_file else {"results": [error]}


PERMANENT_ERRORS = tuple(
    ImageError(code, of_file)
    for code in GRPC_CODES
    if code not in TRANSIENT_CODES + ACCESS_CODES
    for of_file in (True, False)
)
IMAGES_PER_PERMANENT_ERROR = 16


class Truth(NamedTuple):
    """What the row of an image must say."""

    status: str
    copy_count: int | None
    error_code: str | None
    pages: tuple[str, ...] = ()


def truth_about(sha256: str) -> Truth:
    if error := permanent_error(sha256):
        return Truth("rejected" if error.code == 3 else "failed", None, GRPC_CODES[error.code])
    pages = tuple(f"https://{site}.example/{sha256}" for site in "ab"[: int(sha256[:8], 16) % 3])
    return Truth("found" if pages else "none", len(pages), None, pages)


def is_true(result: CopySearchResult) -> bool:
    """Whether this is the service's answer for this very image: every page URL contains the image's hash."""
    pages = tuple(match.page_url for match in result.matches)
    return Truth(result.status, result.copy_count, result.error_code, pages) == truth_about(result.sha256 or "0")


def permanent_error(sha256: str) -> ImageError | None:
    """The answer to every request for some of the images."""
    turn, rest = divmod(int(sha256[:8], 16), IMAGES_PER_PERMANENT_ERROR)
    return None if rest else PERMANENT_ERRORS[turn % len(PERMANENT_ERRORS)]


class FaultyService(CountingService):
    """Safe to share between threads. The seed decides which requests get which fault.

    :param faults: by name; they take turns.
    :param share: of the requests that get one; may be changed.
    :param patience: seconds; longer than the client waits for a reply.
    :param after: images that are answered before the first fault.
    """

    def __init__(
        self, faults: Mapping[str, Fault], *, share: float, patience: float, seed: int = 1, after: int = 0
    ) -> None:
        super().__init__()
        self.patience = patience
        self.over = threading.Event()
        self.injected: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.share = share
        self._after = after
        self._random = random.Random(seed)
        self._seeds = random.Random(seed)
        self._turns = cycle(faults.items())
        self._spent: set[str] = set()

    @property
    def delivered_twice(self) -> int:
        """Images requested again after their answer had reached the client."""
        return sum(times > 1 for times in self.delivered.values())

    def draw(self, hashes: Collection[str]) -> Fault:
        """What to do with a request for these images."""
        with self._lock:
            if self._random.random() >= self.share or len(self.delivered) < self._after:
                return Exchange.answer
            name, fault = next(self._turns)
            if name in COSTLY_FAULTS:
                if not self._spent.isdisjoint(hashes):
                    return Exchange.answer
                self._spent.update(hashes)
            self.injected[name] += 1
            return fault

    def dice(self) -> random.Random:
        """A source of randomness for one request."""
        with self._lock:
            return random.Random(self._seeds.getrandbits(32))

    def note_delivered(self, hashes: Collection[str]) -> None:
        with self._lock:
            self.delivered.update(hashes)

    def pages_of(self, sha256: str) -> tuple[str, ...]:
        return truth_about(sha256).pages

    def _analyze(self, spec: AnalyzeSpec) -> Json:
        error = permanent_error(hashlib.sha256(spec.content).hexdigest())
        return error.to_json() if error else super()._analyze(spec)


class Exchange:
    """A request, and the connection that takes its reply."""

    def __init__(self, service: FaultyService, server: Loopback, connection: socket.socket, request: Request) -> None:
        self.service = service
        self.dice = service.dice()
        self._server = server
        self._connection = connection
        self._request = request
        self._specs: list[Json] = json.loads(request.body)["analyzeSpecs"]
        self.hashes = [hashlib.sha256(pybase64.b64decode(spec["content"])).hexdigest() for spec in self._specs]

    def __len__(self) -> int:
        return len(self._specs)

    def search(self, spare: int | None = None) -> list[Json]:
        """Results of all images, except for the one at ``spare``: the service does not see it and does not bill it."""
        specs = [spec for position, spec in enumerate(self._specs) if position != spare]
        if not specs:
            return []
        request_line, *lines = self._request.head.splitlines()
        method, path, _ = request_line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        answered = self.service.answer(method, path, headers, json.dumps({"analyzeSpecs": specs}).encode())
        assert answered.status == 200, answered.body
        results: list[Json] = json.loads(answered.body)["results"]
        return results

    def answer(self) -> None:
        """No fault at all."""
        self.deliver(to_payload(self.search()))

    def deliver(self, payload: bytes, *headers: str, spoiled: Collection[int] = ()) -> None:
        """A good reply, except for the images at ``spoiled``."""
        self.send(payload, *headers)
        self.service.note_delivered([sha for position, sha in enumerate(self.hashes) if position not in spoiled])

    def send(self, payload: bytes, *headers: str, status: int = 200) -> None:
        self.write(reply(payload, *headers, status=f"{status} {HTTPStatus(status).phrase}"))

    def write(self, raw: bytes) -> None:
        self._connection.sendall(raw)

    def wait(self) -> None:
        """Longer than the client does."""
        self.service.over.wait(self.service.patience)

    def hang_up(self) -> None:
        """Reset the connection."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError

    def go_down(self) -> None:
        """Close the connection without a reply, and refuse new ones for a moment."""
        self._server.restart(DOWN_SECONDS)
        raise ConnectionAbortedError


Fault: TypeAlias = Callable[[Exchange], None]


def to_payload(results: list[Json]) -> bytes:
    return json.dumps({"results": results}).encode()


@contextmanager
def burning(service: FaultyService) -> Iterator[str]:
    """Base URL of the service, served within the block."""

    def handle(connection: socket.socket, request: Request) -> None:
        exchange = Exchange(service, server, connection, request)
        service.draw(exchange.hashes)(exchange)

    server = Loopback(handle)
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        service.over.set()
        server.close()
