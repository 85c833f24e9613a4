"""A service that answers as the emulator does, but for the requests that a fault is injected into.

What is true of a picture follows from its SHA-256, so that any answer can be judged. The service counts, by that
hash, what it billed and whether its word on the picture reached the client whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from itertools import cycle
from typing import Any, NamedTuple, TypeAlias

import pybase64

from airflow_provider_yandex_vision.emulator.contract import AnalyzeSpec, Json
from airflow_provider_yandex_vision.emulator.server import _Handler, _Server
from airflow_provider_yandex_vision.vision import CopySearchResult
from airflow_provider_yandex_vision.vision.errors import GRPC_CODES
from tests.support.counting import CountingService
from tests.support.loopback import reply

PASSING_CODES = (4, 8, 13, 14)
DOWN_SECONDS = 0.1


class ImageError(NamedTuple):
    """One image's error inside a good reply, at the level of the file or of the feature."""

    code: int
    of_file: bool

    def printed(self) -> Json:
        error = {"error": {"code": self.code, "message": "injected"}}
        return error if self.of_file else {"results": [error]}


LASTING_ERRORS = tuple(
    ImageError(code, of_file) for code in GRPC_CODES if code not in PASSING_CODES for of_file in (True, False)
)
IMAGES_PER_LASTING_ERROR = 16


class Truth(NamedTuple):
    """What the row of a picture must say."""

    status: str
    copy_count: int | None
    error_code: str | None
    pages: tuple[str, ...] = ()


def truth_about(sha256: str) -> Truth:
    number = int(sha256[:8], 16)
    if error := lasting_error(sha256):
        return Truth("rejected" if error.code == 3 else "failed", None, GRPC_CODES[error.code])
    pages = tuple(f"https://{site}.example/{sha256}" for site in "ab"[: number % 3])
    return Truth("found" if pages else "none", len(pages), None, pages)


def is_true(result: CopySearchResult) -> bool:
    """Whether this is the service's word on this very picture: each page names the picture it shows."""
    said = Truth(result.status, result.copy_count, result.error_code, tuple(match.page_url for match in result.matches))
    return said == truth_about(result.sha256 or "0")


def lasting_error(sha256: str) -> ImageError | None:
    """What every request for some of the pictures is answered with."""
    turn, rest = divmod(int(sha256[:8], 16), IMAGES_PER_LASTING_ERROR)
    return None if rest else LASTING_ERRORS[turn % len(LASTING_ERRORS)]


class FaultyService(CountingService):
    """Safe to share by threads; which request of a run gets which fault follows from the seed.

    :param faults: by name, they take turns.
    :param share: of the requests that get one.
    :param patience: seconds; longer than the client waits for a reply.
    """

    def __init__(self, faults: Mapping[str, Fault], *, share: float, patience: float, seed: int = 1) -> None:
        super().__init__()
        self.patience = patience
        self.over = threading.Event()
        self.injected: Counter[str] = Counter()
        self.handed_over: Counter[str] = Counter()
        self._share = share
        self._dice = random.Random(seed)
        self._turns = cycle(faults.items())

    @property
    def paid_twice(self) -> int:
        """Pictures billed more than once."""
        return sum(times > 1 for times in self._billed.values())

    @property
    def told_twice(self) -> int:
        """Pictures asked for again after the service's word on them had reached the client."""
        return sum(times > 1 for times in self.handed_over.values())

    def draw(self) -> tuple[Fault, random.Random]:
        """What to do with the next request, and the dice to do it with."""
        with self._lock:
            dice = random.Random(self._dice.getrandbits(32))
            if self._dice.random() >= self._share:
                return Exchange.answer, dice
            name, fault = next(self._turns)
            self.injected[name] += 1
            return fault, dice

    def note_handed_over(self, hashes: Collection[str]) -> None:
        with self._lock:
            self.handed_over.update(hashes)

    def _analyze(self, spec: AnalyzeSpec) -> Json:
        sha256 = hashlib.sha256(spec.content).hexdigest()
        if error := lasting_error(sha256):
            return error.printed()
        with self._lock:
            self._billed[sha256] += 1
        pages = [{"pageUrl": page, "imageUrl": f"{page}.png"} for page in truth_about(sha256).pages]
        return {"results": [{"imageCopySearch": {"copyCount": str(len(pages)), "topResults": pages} if pages else {}}]}


class Exchange:
    """A request, and the connection that its answer goes over."""

    def __init__(self, handler: _FaultyHandler, body: bytes, dice: random.Random) -> None:
        self.service = handler.server.service
        self.dice = dice
        self._handler = handler
        self._specs: list[Json] = json.loads(body)["analyzeSpecs"]
        self._hashes = [hashlib.sha256(pybase64.b64decode(spec["content"])).hexdigest() for spec in self._specs]

    def __len__(self) -> int:
        return len(self._specs)

    def search(self, spare: int | None = None) -> list[Json]:
        """Results of all images; the service does not get to see, nor to bill, the one at ``spare``."""
        specs = [spec for position, spec in enumerate(self._specs) if position != spare]
        if not specs:
            return []
        headers = {name.lower(): value for name, value in self._handler.headers.items()}
        body = json.dumps({"analyzeSpecs": specs}).encode()
        answered = self.service.answer("POST", self._handler.path, headers, body)
        assert answered.status == 200, answered.body
        results: list[Json] = json.loads(answered.body)["results"]
        return results

    def answer(self) -> None:
        """No fault at all."""
        self.deliver(printed(self.search()))

    def deliver(self, payload: bytes, *headers: str, spoiled: Collection[int] = ()) -> None:
        """A good reply, except for the images at ``spoiled``."""
        self.send(payload, *headers)
        self.service.note_handed_over([sha for position, sha in enumerate(self._hashes) if position not in spoiled])

    def send(self, payload: bytes, *headers: str, status: int = 200) -> None:
        self.write(reply(payload, *headers, status=f"{status} {HTTPStatus(status).phrase}"))

    def write(self, raw: bytes) -> None:
        self._handler.connection.sendall(raw)

    def wait(self) -> None:
        """Longer than the client does."""
        self.service.over.wait(self.service.patience)

    def hang_up(self) -> None:
        """Reset the connection."""
        self._handler.close_connection = True
        connection = self._handler.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())

    def go_down(self) -> None:
        """End the server with all its connections; another takes its port a moment later."""
        self._handler.close_connection = True
        self._handler.server.gone = True


Fault: TypeAlias = Callable[[Exchange], None]


def printed(results: list[Json]) -> bytes:
    return json.dumps({"results": results}).encode()


@contextmanager
def burning(service: FaultyService) -> Iterator[str]:
    """Base URL of the service, served within the block."""
    server = _FaultyServer(("127.0.0.1", 0), service)
    thread = threading.Thread(target=_keep_serving, args=(server,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        service.over.set()
        thread.join()


class _FaultyHandler(_Handler):
    server: _FaultyServer

    def do_POST(self) -> None:
        body = self._read(self.headers["Content-Length"])
        if self.server.gone:
            self.close_connection = True
            return
        fault, dice = self.server.service.draw()
        fault(Exchange(self, body, dice))


class _FaultyServer(_Server):
    service: FaultyService
    timeout = 0.02
    gone = False

    def finish_request(self, request: Any, client_address: Any) -> None:
        _FaultyHandler(request, client_address, self)


def _keep_serving(server: _FaultyServer) -> None:
    over = server.service.over
    while True:
        with server:
            while not (server.gone or over.is_set()):
                server.handle_request()
        if over.wait(DOWN_SECONDS):
            return
        server = _FaultyServer(("127.0.0.1", server.server_address[1]), server.service)
