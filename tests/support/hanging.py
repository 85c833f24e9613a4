"""Replies that never end although something keeps coming, so that no timeout of a socket ends them."""

from __future__ import annotations

import gzip
import time
from functools import partial

from tests.support.faulty_service import Exchange, Fault, to_payload

SECONDS_BETWEEN_PIECES = 0.05
PATIENCES = 5
"""How often a client's time is up before a drip ends, so that a run with a client that waits for it ends as well."""

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"
EMPTY_GZIP = gzip.compress(b"")


def drip(exchange: Exchange, *, start: bytes, piece: bytes) -> None:
    exchange.search()
    go_on(exchange, start, piece)


def go_on(exchange: Exchange, start: bytes, piece: bytes) -> None:
    exchange.write(start)
    end = time.monotonic() + PATIENCES * exchange.service.patience
    while time.monotonic() < end and not exchange.service.over.wait(SECONDS_BETWEEN_PIECES):
        exchange.write(piece)
    exchange.hang_up()


def drip_trailers(exchange: Exchange) -> None:
    """The answer is complete, the reply is not."""
    payload = to_payload(exchange.search())
    start = b"%s\r\n%x\r\n%s\r\n0\r\nX-Checksum: " % (CHUNKED, len(payload), payload)
    go_on(exchange, start, piece=b"0")


HANGS: dict[str, Fault] = {
    "drips in the status line": partial(drip, start=b"HTTP/1.1 200 O", piece=b"K"),
    "drips in the headers": partial(drip, start=OK + b"X-Trace: ", piece=b"0"),
    "drips 100 Continue": partial(drip, start=b"", piece=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "drips in a chunk's extension": partial(drip, start=CHUNKED + b"\r\n5;", piece=b"x"),
    "drips in the trailers": drip_trailers,
    "drips gzip of nothing": partial(
        drip,
        start=CHUNKED + b"Content-Encoding: gzip\r\n\r\n",
        piece=b"%x\r\n%s\r\n" % (len(EMPTY_GZIP), EMPTY_GZIP),
    ),
}
