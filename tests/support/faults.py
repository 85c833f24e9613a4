"""Faults of a service, a load balancer or a network, to be injected into a search."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from random import Random
from typing import Any

from airflow_provider_yandex_vision.vision.errors import GRPC_CODES
from airflow_provider_yandex_vision.vision.transport import MAX_REPLY_BYTES
from tests.support.faulty_service import TRANSIENT_CODES, Exchange, Fault, ImageError, to_payload
from tests.support.hanging import HANGS
from tests.support.loopback import reply

COMPRESSED_MEBIBYTE = gzip.compress(b" " * (1 << 20))
HINT_SECONDS = 0.05
STRAY_STATUSES = {
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    409: "Conflict",
    421: "Misdirected Request",
    425: "Too Early",
    499: "Client Closed Request",
}
NOT_SECONDS = ("soon", "-5", "nan", "inf", "1e999", "", "Mon, 99 Foo 2026 25:61:00 GMT")
NOT_COUNTS: tuple[Any, ...] = (True, 1.5, -1, "many", "1.0", [], 2**63)
BROKEN_RESULTS: tuple[Any, ...] = (
    None,
    "found",
    [],
    {},
    {"results": {}},
    {"results": ["none"]},
    {"results": [{}]},
    {"results": [{"imageCopySearch": None}]},
    {"error": "Can't decode Image"},
    {"error": {"code": "3", "message": "Can't decode Image"}},
    {"results": [{"error": {"code": True}}]},
    *({"results": [{"imageCopySearch": {"copyCount": value}}]} for value in NOT_COUNTS),
    {"results": [{"imageCopySearch": {"topResults": {}}}]},
    {"results": [{"imageCopySearch": {"topResults": [None]}}]},
    {"results": [{"imageCopySearch": {"topResults": [{"pageUrl": 1}]}}]},
)


def answer_compressed(exchange: Exchange) -> None:
    exchange.deliver(gzip.compress(to_payload(exchange.search())), "Content-Encoding: gzip")


def time_out_after_search(exchange: Exchange) -> None:
    """Like a gateway that stops waiting for the service."""
    exchange.search()
    exchange.send(b"upstream request timeout", status=504)


def refuse(exchange: Exchange, *, status: int) -> None:
    exchange.send(json.dumps({"code": 13, "message": "injected"}).encode(), status=status)


def stray(exchange: Exchange, *, status: int) -> None:
    exchange.write(reply(b"", status=f"{status} {STRAY_STATUSES[status]}"))


def show_page(exchange: Exchange, *, status: int) -> None:
    page = b"<html><head><title>Bad Gateway</title></head><body>nginx</body></html>"
    exchange.send(page, "Content-Type: text/html", status=status)


def throttle(exchange: Exchange, *, retry_after: Callable[[Random], str] | None = None) -> None:
    headers = [f"Retry-After: {retry_after(exchange.dice)}"] if retry_after else []
    exchange.send(b'{"code": 8, "message": "limit exceeded"}', *headers, status=429)


def cut_off(exchange: Exchange, *, share: float, search: bool = True, wait: bool = False) -> None:
    """Reset the connection after a share of the reply, at once or after the client's timeout."""
    raw = reply(to_payload(exchange.search())) if search else b""
    exchange.write(raw[: int(len(raw) * share)])
    if wait:
        exchange.wait()
    exchange.hang_up()


def stall_head(exchange: Exchange) -> None:
    raw = reply(to_payload(exchange.search()))
    exchange.write(raw[: raw.index(b"\r\n") + 5])
    exchange.wait()
    exchange.hang_up()


def cut_json(exchange: Exchange) -> None:
    payload = to_payload(exchange.search())
    exchange.send(payload[: exchange.dice.randrange(len(payload))])


def miscount(exchange: Exchange) -> None:
    results = exchange.search()
    exchange.send(to_payload(exchange.dice.choice(([], results[1:], results[:-1], [*results, results[0]]))))


def break_result(exchange: Exchange) -> None:
    results, position = exchange.search(), exchange.dice.randrange(len(exchange))
    results[position] = exchange.dice.choice(BROKEN_RESULTS)
    exchange.deliver(to_payload(results), spoiled={position})


def contradict(exchange: Exchange) -> None:
    """Send a duplicate key with two answers."""
    results, position = exchange.search(), exchange.dice.randrange(len(exchange))
    results[position] = {"results": [{"imageCopySearch": {}, "imageCopySearch again": {"copyCount": 999}}]}
    exchange.deliver(to_payload(results).replace(b" again", b""), spoiled={position})


def fail_one(exchange: Exchange, *, error: ImageError) -> None:
    position = exchange.dice.randrange(len(exchange))
    results = exchange.search(spare=position)
    results.insert(position, error.to_json())
    exchange.deliver(to_payload(results), spoiled={position})


def refuse_all(exchange: Exchange, *, code: int) -> None:
    """A good reply without one answer."""
    exchange.send(to_payload([ImageError(code, False).to_json()] * len(exchange)))


def hint(exchange: Exchange) -> None:
    """The reply comes after an interim one, when a client that took that for the reply may have sent more."""
    exchange.write(b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n")
    time.sleep(HINT_SECONDS)
    exchange.send(to_payload(exchange.search()))


def answer_late(exchange: Exchange) -> None:
    results = exchange.search()
    exchange.wait()
    exchange.send(to_payload(results))


def misjudge_length(exchange: Exchange, *, by: int) -> None:
    payload = to_payload(exchange.search())
    exchange.write(reply(payload, length=len(payload) + by))
    if by > 0:
        exchange.hang_up()


def flood(exchange: Exchange) -> None:
    exchange.send(b" " * MAX_REPLY_BYTES + to_payload(exchange.search()))


def bomb(exchange: Exchange) -> None:
    exchange.send(
        COMPRESSED_MEBIBYTE * (MAX_REPLY_BYTES >> 20) + gzip.compress(to_payload(exchange.search())),
        "Content-Encoding: gzip",
    )


FAULTS: dict[str, Fault] = {
    "connection refused": Exchange.go_down,
    "reset before the search": partial(cut_off, share=0, search=False),
    "reset before the reply": partial(cut_off, share=0),
    "reset in the reply": partial(cut_off, share=0.7),
    "stalls in the reply's head": stall_head,
    "stalls in the reply": partial(cut_off, share=0.7, wait=True),
    "429": throttle,
    "429, Retry-After in seconds": partial(throttle, retry_after=lambda dice: "1"),
    "429, Retry-After as a date": partial(throttle, retry_after=lambda dice: formatdate(time.time() + 1, usegmt=True)),
    "429, Retry-After of hours": partial(throttle, retry_after=lambda dice: "7200"),
    "429, Retry-After is nonsense": partial(throttle, retry_after=lambda dice: dice.choice(NOT_SECONDS)),
    "500": partial(refuse, status=500),
    "502": partial(refuse, status=502),
    "503": partial(refuse, status=503),
    "504": partial(refuse, status=504),
    "504 after the search": time_out_after_search,
    "103 before the reply": hint,
    **{f"{status}": partial(stray, status=status) for status in STRAY_STATUSES},
    "HTML, status 200": partial(show_page, status=200),
    "HTML, status 502": partial(show_page, status=502),
    "truncated JSON": cut_json,
    "wrong number of results": miscount,
    "result of the wrong type": break_result,
    "duplicate key, two answers": contradict,
    **{f"{GRPC_CODES[code]} for a file": partial(fail_one, error=ImageError(code, True)) for code in TRANSIENT_CODES},
    **{
        f"{GRPC_CODES[code]} for a feature": partial(fail_one, error=ImageError(code, False))
        for code in TRANSIENT_CODES
    },
    "RESOURCE_EXHAUSTED for all files": partial(refuse_all, code=8),
    "reply later than the timeout": answer_late,
    "reply longer than it says": partial(misjudge_length, by=-10),
    "reply shorter than it says": partial(misjudge_length, by=10),
    **HANGS,
    "reply too large": flood,
    "gzip": answer_compressed,
    "gzip bomb": bomb,
}
"""Faults that the search recovers from: every image gets its row."""

FAULTS_OF_ACCESS: dict[str, Fault] = {
    **{f"{GRPC_CODES[code]} for all files": partial(refuse_all, code=code) for code in (7, 16)},
    **{f"{status}, once answers came": partial(refuse, status=status) for status in (401, 403, 404)},
}
"""Faults that the search recovers from if it has had answers. Without any, they end it."""
