"""Every request has a deadline, whatever it waits for."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import repeat

import pytest

from airflow_provider_yandex_vision.vision import VisionClient
from airflow_provider_yandex_vision.vision.calls import SECONDS_UNTIL_WARNING, Calls
from airflow_provider_yandex_vision.vision.errors import LostReplyError, UnavailableError
from tests.support.loopback import Loopback, Request, reply, serving
from tests.vision.conftest import ONE_RESULT, error_of, new_client, prepare, prepared

TIMEOUT = 0.2
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"
COMPRESSED_NOTHING = gzip.compress(b"")

ENDLESS_REPLIES = {
    "status line": (b"HTTP/1.1 2", b"0"),
    "header": (OK + b"X-Header: ", b"x"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "header of 100 Continue": (b"HTTP/1.1 100 Continue\r\nX-Header: ", b"x"),
    "body": (reply(b"", length=10**6), b" "),
    "body without a length": (OK + b"\r\n", b" "),
    "body of a connection that closes": (reply(b"", "Connection: close", length=10**6), b" "),
    "chunk size": (CHUNKED + b"\r\n", b"0"),
    "chunk extension": (CHUNKED + b"\r\n1;", b"x"),
    "chunks": (CHUNKED + b"\r\n", b"1\r\n \r\n"),
    "trailer": (CHUNKED + b"\r\n0\r\nX-Trailer: ", b"x"),
    "trailers": (CHUNKED + b"\r\n0\r\n", b"X-Trailer: x\r\n"),
    "gzip of nothing": (OK + b"Content-Encoding: gzip\r\n\r\n", COMPRESSED_NOTHING),
}
"""What comes at once, and what then comes again and again."""


def drip(connection: socket.socket, first: bytes, again: bytes) -> None:
    with suppress(OSError):
        connection.sendall(first)
        for piece in repeat(again, 300):
            time.sleep(0.02)
            connection.sendall(piece)


def quick_client(url: str) -> VisionClient:
    return new_client(host=url, timeout=TIMEOUT, connect_timeout=TIMEOUT)


@contextmanager
def in_time(seconds: float = 2.0) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


@pytest.mark.parametrize("part", ENDLESS_REPLIES)
def test_reply_that_drips_ends_in_time(part: str) -> None:
    with serving(lambda connection: drip(connection, *ENDLESS_REPLIES[part])) as url, in_time():
        error = error_of(quick_client(url))
    assert isinstance(error, LostReplyError)
    assert error.message.endswith("timed out")


def test_request_after_one_that_dripped_is_answered() -> None:
    drips = iter([True])

    def answer(connection: socket.socket) -> None:
        drip(connection, *ENDLESS_REPLIES["header"]) if next(drips, False) else connection.sendall(ONE_RESULT)

    with serving(answer) as url:
        client = quick_client(url)
        error_of(client)
        assert client.batch_analyze(prepared())[0].status == "none"


def test_body_that_is_not_read_was_not_billed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, in_time():
        client = quick_client(f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(UnavailableError) as caught:
            client.batch_analyze([prepare("memory://large", bytes(20_000_000))])
    assert not caught.value.may_be_billed


def test_tls_handshake_that_hangs_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, in_time():
        error = error_of(quick_client(f"https://127.0.0.1:{server.getsockname()[1]}"))
    assert type(error) is UnavailableError


def test_proxy_that_drips_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda connection: drip(connection, b"HTTP/1.1 2", b"0")) as proxy, in_time():
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        error = error_of(quick_client("https://vision.test"))
    assert type(error) is UnavailableError


@contextmanager
def full_server() -> Iterator[str]:
    """Address of a server to which no further connection is made, nor refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for each in waiting:
            each.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_abort_ends_a_connect_that_hangs(scheme: str) -> None:
    with full_server() as address, ThreadPoolExecutor(1) as pool:
        client = new_client(host=f"{scheme}://{address}")
        error = pool.submit(error_of, client)
        time.sleep(0.1)
        with in_time():
            client.abort()
            assert type(error.result(timeout=5)) is UnavailableError


def test_abort_ends_a_tls_handshake_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        client = new_client(host=f"https://127.0.0.1:{server.getsockname()[1]}")
        error = pool.submit(error_of, client)
        with server.accept()[0] as connection, in_time():
            connection.recv(1)
            client.abort()
            assert type(error.result(timeout=5)) is UnavailableError


def test_reply_after_an_informational_one_is_no_other_request_s() -> None:
    """A client that kept the connection would take the late reply for that of the next request."""
    found = {"results": [{"imageCopySearch": {"copyCount": 5}}]}
    requests = []

    def answer(connection: socket.socket, request: Request) -> None:
        requests.append(request)
        if len(requests) > 1:
            connection.sendall(ONE_RESULT)
            return
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        time.sleep(0.1)
        connection.sendall(reply(json.dumps({"results": [found]}).encode()))

    server = Loopback(answer)
    client = new_client(host=f"http://127.0.0.1:{server.port}")
    assert error_of(client).http_status == 103
    assert [client.batch_analyze(prepared())[0].status for _ in range(2)] == ["none"] * 2
    server.close()


class TestCalls:
    @staticmethod
    def stuck(calls: Calls, seconds: float) -> Callable[[], bytes]:
        """Waits for ever for one end of a pair of sockets."""
        near, far = socket.socketpair()

        def wait() -> bytes:
            with near, far, calls.call("a test", seconds):
                calls.hold(near)
                return near.recv(1)

        return wait

    def test_end_at_their_deadline(self) -> None:
        with in_time():
            assert self.stuck(Calls(), 0.05)() == b""

    def test_deadline_is_that_of_the_clock_passed_in(self) -> None:
        now = [0.0]
        threading.Timer(0.1, now.append, [4000.0]).start()
        with in_time(5):
            assert self.stuck(Calls(lambda: now[-1]), 3600)() == b""

    def test_that_are_over_take_no_further_socket(self) -> None:
        calls = Calls()
        near, far = socket.socketpair()
        with near, far, calls.call("a test", 60):
            calls.abort()
            with pytest.raises(ConnectionAbortedError, match="aborted"):
                calls.hold(near)

    def test_are_watched_only_while_there_are_any(self) -> None:
        def watchers() -> set[threading.Thread]:
            return {thread for thread in threading.enumerate() if thread.name == "request-deadlines"}

        others = watchers()
        calls = Calls()
        with calls.call("a test", 0.05):
            [watcher] = watchers() - others
        watcher.join(5)
        assert not watcher.is_alive()
        assert self.stuck(calls, 0.05)() == b""

    def test_name_what_is_waited_for_after_a_while(self, caplog: pytest.LogCaptureFixture) -> None:
        seconds = iter([0.0, SECONDS_UNTIL_WARNING])
        calls = Calls(lambda: next(seconds, SECONDS_UNTIL_WARNING + 50))
        with caplog.at_level(logging.WARNING):
            assert self.stuck(calls, SECONDS_UNTIL_WARNING + 20)() == b""
        assert [record.getMessage() for record in caplog.records] == ["Waiting for a connection for a test for 30 s"]
