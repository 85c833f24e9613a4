from __future__ import annotations

import gzip
import socket
import ssl
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from airflow_provider_yandex_vision.vision.errors import ProtocolError
from airflow_provider_yandex_vision.vision.transport import MAX_REPLY_BYTES, AbortableAdapter
from tests.support.loopback import reply, serving, tls_context
from tests.vision.conftest import new_client


@pytest.fixture
def adapter() -> AbortableAdapter:
    return AbortableAdapter(connections=4)


@pytest.fixture
def session(adapter: AbortableAdapter) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        yield session


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext | None:
    if request.param == "http":
        return None
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    return tls_context(tmp_path / "ca.pem")


def test_abort_ends_every_request_in_flight(
    adapter: AbortableAdapter, session: requests.Session, tls: ssl.SSLContext | None
) -> None:
    waiting = threading.Semaphore(0)
    with serving(lambda connection: waiting.release(), tls=tls) as url, ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(session.post, url, data=b"x", timeout=30) for _ in range(3)]
        assert all(waiting.acquire(timeout=5) for _ in replies)
        adapter.abort()
        errors = [reply.exception(timeout=5) for reply in replies]
    assert all(isinstance(error, requests.ConnectionError) for error in errors), errors


def test_request_after_abort_gets_a_new_connection(
    adapter: AbortableAdapter, session: requests.Session, tls: ssl.SSLContext | None
) -> None:
    with serving(lambda connection: connection.sendall(reply(b"fine")), tls=tls) as url:
        assert session.post(url, data=b"x", timeout=5).text == "fine"
        adapter.abort()
        assert session.post(url, data=b"x", timeout=5).text == "fine"


def test_abort_with_nothing_in_flight_does_nothing(adapter: AbortableAdapter) -> None:
    adapter.abort()


def test_abort_may_race_with_new_connections(adapter: AbortableAdapter) -> None:
    made = [adapter._connect(socket.socket) for _ in range(200)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as pool:
            making = pool.submit(lambda: [adapter._connect(socket.socket) for _ in range(500)])
            while not making.done():
                adapter.abort()
            made += making.result()
    finally:
        sys.setswitchinterval(interval)
        for connection in made:
            connection.close()


def test_number_of_connections_is_limited(session: requests.Session) -> None:
    peers = set()

    def note_peer(connection: socket.socket) -> None:
        peers.add(connection.getpeername())
        connection.sendall(reply(b"fine"))

    with serving(note_peer) as url, ThreadPoolExecutor(12) as pool:
        replies = [pool.submit(session.post, url, data=b"x", timeout=5) for _ in range(40)]
        assert all(reply.result().ok for reply in replies)
    assert len(peers) <= 4


def test_close_ends_idle_connections_at_once(adapter: AbortableAdapter, session: requests.Session) -> None:
    with serving(lambda connection: connection.sendall(reply(b"fine"))) as url:
        session.post(url, data=b"x", timeout=5)
        (pool,), (connection,) = adapter._pools, adapter._connections
        assert connection.sock
        adapter.close()
        assert (pool.num_connections, connection.sock) == (1, None)
        assert session.post(url, data=b"x", timeout=5).text == "fine"


@pytest.mark.parametrize("packed", [False, True])
def test_huge_reply_is_not_held_in_memory(packed: bool) -> None:
    raw = bytes(MAX_REPLY_BYTES + 1)
    answer = reply(gzip.compress(raw, 1), "Content-Encoding: gzip") if packed else reply(raw)
    with serving(lambda connection: connection.sendall(answer)) as url:
        client = new_client(host=url)
        tracemalloc.start()
        try:
            with pytest.raises(ProtocolError, match="larger than"):
                client.batch_analyze([])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
