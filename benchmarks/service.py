"""A minimal ``batchAnalyze``, so that benchmarks measure the client.

It decodes nothing: it counts the images of a request by opening braces, which base64 does not contain.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection

MATCH = {"imageUrl": "https://example.org/a.jpg", "pageUrl": "https://example.org/news/1", "title": "A harbour at dawn"}
ANSWER = json.dumps({"results": [{"imageCopySearch": {"copyCount": "3", "topResults": [MATCH] * 3}}]}).encode()
BRACES_PER_IMAGE = 2
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class Behaviour:
    """What the service does.

    :param latency: seconds from the end of a request to its reply.
    :param quota: requests per second; the rest get 429.
    :param burst: seconds' worth of the quota that may come at once.
    :param poison: base64 that makes a request get 400. Searched in each chunk that arrives, so only for small requests.
    :param certificate: path of a PEM file with a certificate and its key; turns on TLS.
    """

    latency: float = 0.0
    quota: float | None = None
    burst: float = 1.0
    poison: bytes | None = None
    certificate: str | None = None


@dataclass
class Statistics:
    """
    :param accepted: requests that got 200.
    :param images: in these requests.
    :param throttled: requests that got 429.
    :param rejected: requests that got 400.
    :param seconds: since the first request.
    """

    accepted: int = 0
    images: int = 0
    throttled: int = 0
    rejected: int = 0
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        return self.accepted + self.throttled + self.rejected


class TokenBucket:
    """Full at the start. The emulator's would import Pillow into every client's process."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._capacity = self._tokens = max(1.0, rate * burst)
        self._filled_at = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Service:
    """Decides how requests are answered."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._bucket = TokenBucket(behaviour.quota, behaviour.burst) if behaviour.quota else None
        self._statistics = Statistics()
        self._first_at: float | None = None

    def statistics(self) -> bytes:
        if self._first_at is not None:
            self._statistics.seconds = time.monotonic() - self._first_at
        return json.dumps(asdict(self._statistics)).encode()

    def answer(self, images: int, poisoned: bool) -> tuple[int, bytes]:
        """Status and body."""
        self._first_at = self._first_at or time.monotonic()
        if self._bucket and not self._bucket.take():
            self._statistics.throttled += 1
            return 429, b'{"code": 8, "message": "limit exceeded"}'
        if poisoned:
            self._statistics.rejected += 1
            return 400, b'{"code": 3, "message": "bad image"}'
        self._statistics.accepted += 1
        self._statistics.images += images
        return 200, b'{"results": [' + b",".join([ANSWER] * images) + b"]}"


class ServedConnection(asyncio.BufferedProtocol):
    """As much of HTTP/1.1 as clients without pipelining need."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._buffer = bytearray(BUFFER_BYTES)
        self._head = b""
        self._body_left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        # With TLS, asyncio fills slices of the buffer; slices of a bytearray would be copies.
        return memoryview(self._buffer)

    def buffer_updated(self, nbytes: int) -> None:
        start = 0 if self._body_left else self._take_head(bytes(self._buffer[:nbytes]))
        if self._body_left and start < nbytes:
            self._take_body(start, nbytes)

    def _take_head(self, data: bytes) -> int:
        """:return: start of the body in the data."""
        head, end, body = (self._head + data).partition(b"\r\n\r\n")
        self._head = b"" if end else head
        if head.startswith(b"GET") and end:
            self._reply(200, self._service.statistics())
        elif end:
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            assert length, "a body needs a Content-Length"
            self._body_left, self._braces, self._poisoned = int(length[1]), 0, False
        return len(data) - len(body)

    def _take_body(self, start: int, end: int) -> None:
        self._count_braces(start, end)
        poison = self._service.behaviour.poison
        self._poisoned |= poison is not None and self._buffer.find(poison, start, end) >= 0
        self._body_left -= end - start
        if not self._body_left:
            status, body = self._service.answer(self._braces // BRACES_PER_IMAGE, self._poisoned)
            asyncio.get_running_loop().call_later(self._service.behaviour.latency, self._reply, status, body)

    def _count_braces(self, start: int, end: int) -> None:
        """Much faster than ``count`` if there are few."""
        while (start := self._buffer.find(b"{", start, end) + 1) > 0:
            self._braces += 1

    def _reply(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        if not self._transport.is_closing():
            self._transport.write(head.encode() + body)


def serve(behaviour: Behaviour, port: Connection) -> None:
    """Serve forever on a free local port, which is sent once the service listens."""
    asyncio.run(_serve(behaviour, port))


async def _serve(behaviour: Behaviour, port: Connection) -> None:
    service, context = Service(behaviour), None
    if behaviour.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(behaviour.certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ServedConnection(service), "127.0.0.1", 0, ssl=context)
    port.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()
