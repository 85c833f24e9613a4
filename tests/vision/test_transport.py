from __future__ import annotations

import gzip
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from airflow_provider_yandex_vision.vision import VisionClient
from airflow_provider_yandex_vision.vision.calls import Calls
from airflow_provider_yandex_vision.vision.credentials import IamToken, Token
from airflow_provider_yandex_vision.vision.errors import AuthenticationError, ProtocolError, UnavailableError
from airflow_provider_yandex_vision.vision.transport import (
    MAX_REPLY_BYTES,
    PIECE_BYTES,
    Unpacker,
    WatchedAdapter,
    root_cause,
)
from tests.support.cloud import running_cloud
from tests.support.loopback import reply, serving, tls_context
from tests.support.secrets import IAM_TOKEN
from tests.vision.conftest import answer, error_of, new_client, prepared


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def adapter(calls: Calls) -> WatchedAdapter:
    return WatchedAdapter(4, calls)


@pytest.fixture
def session(adapter: WatchedAdapter) -> Iterator[requests.Session]:
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
    calls: Calls, session: requests.Session, tls: ssl.SSLContext | None
) -> None:
    def post(url: str) -> None:
        with calls.call("a test", 30):
            session.post(url, data=b"x", timeout=30)

    waiting = threading.Semaphore(0)
    with serving(lambda connection: waiting.release(), tls=tls) as url, ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(post, url) for _ in range(3)]
        assert all(waiting.acquire(timeout=5) for _ in replies)
        calls.abort()
        errors = [reply.exception(timeout=5) for reply in replies]
    assert all(isinstance(error, requests.ConnectionError) for error in errors), errors


def test_request_after_abort_gets_a_new_connection(
    calls: Calls, session: requests.Session, tls: ssl.SSLContext | None
) -> None:
    with serving(lambda connection: connection.sendall(reply(b"fine")), tls=tls) as url:
        for _ in range(2):
            with calls.call("a test", 5):
                assert session.post(url, data=b"x", timeout=5).text == "fine"
                calls.abort()


def test_number_of_connections_is_limited(session: requests.Session) -> None:
    peers = set()

    def note_peer(connection: socket.socket) -> None:
        peers.add(connection.getpeername())
        connection.sendall(reply(b"fine"))

    with serving(note_peer) as url, ThreadPoolExecutor(12) as pool:
        replies = [pool.submit(session.post, url, data=b"x", timeout=5) for _ in range(40)]
        assert all(reply.result().ok for reply in replies)
    assert len(peers) <= 4


def test_close_ends_idle_connections_at_once(adapter: WatchedAdapter, session: requests.Session) -> None:
    with serving(lambda connection: connection.sendall(reply(b"fine"))) as url:
        session.post(url, data=b"x", timeout=5)
        (pool,) = adapter._pools
        connection = pool._get_conn()
        pool._put_conn(connection)
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


class TestUnpacker:
    @staticmethod
    def unpack(*chunks: bytes, encoding: str = "gzip") -> bytes:
        unpacker = Unpacker(encoding)
        pieces = [piece for chunk in chunks for piece in unpacker(chunk)]
        unpacker.finish()
        assert all(len(piece) <= PIECE_BYTES for piece in pieces)
        return b"".join(pieces)

    @pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
    def test_unpacks_gzip(self, encoding: str) -> None:
        content = bytes(range(256)) * 4096
        assert self.unpack(gzip.compress(content), encoding=encoding) == content

    def test_unpacks_what_arrives_byte_by_byte(self) -> None:
        content = bytes(300_000)
        assert self.unpack(*(bytes([byte]) for byte in gzip.compress(content))) == content

    @pytest.mark.parametrize("size", [1, 30, 10_000])
    def test_unpacks_several_members(self, size: int) -> None:
        packed = gzip.compress(b"one, ") + gzip.compress(b"") + gzip.compress(b"two" * 100_000)
        chunks = [packed[start : start + size] for start in range(0, len(packed), size)]
        assert self.unpack(*chunks) == b"one, " + b"two" * 100_000

    @pytest.mark.parametrize("cut", [1, 5, 30])
    def test_notices_a_truncated_reply(self, cut: int) -> None:
        packed = gzip.compress(b"complete") + gzip.compress(b"and then some")
        with pytest.raises(EOFError, match="truncated"):
            self.unpack(packed[:-cut])

    def test_passes_on_what_is_not_packed(self) -> None:
        assert self.unpack(b"as it is", encoding="identity") == b"as it is"
        assert self.unpack() == b""

    @pytest.mark.parametrize("encoding", ["deflate", "br", "gzip, gzip", ""])
    def test_refuses_other_encodings(self, encoding: str) -> None:
        with pytest.raises(ProtocolError, match="which was not asked for"):
            Unpacker(encoding)


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"{}")[:-4]], ids=["not gzip", "truncated"])
def test_reply_that_cannot_be_unpacked_is_unavailable(body: bytes) -> None:
    with serving(lambda connection: connection.sendall(reply(body, "Content-Encoding: gzip"))) as url:
        assert isinstance(error_of(new_client(host=url)), UnavailableError)


class TestRejectedToken:
    def test_is_renewed_and_the_request_sent_once_more(self) -> None:
        with running_cloud() as cloud:
            client = VisionClient(IamToken("test", lambda: Token(cloud.token, 3600)), host=cloud.url)
            client.batch_analyze(prepared())
            cloud.replace_token()
            assert [result.status for result in client.batch_analyze(prepared("memory://a", "memory://b"))] == [
                "none"
            ] * 2
        assert (cloud.searched, cloud.rejected, len(cloud.requests)) == (3, 1, 3)

    def test_that_cannot_be_replaced_is_an_error_after_two_requests(self) -> None:
        with running_cloud() as cloud:
            client = VisionClient(IamToken("test", lambda: Token(f"{IAM_TOKEN}-9", 3600)), host=cloud.url)
            with pytest.raises(AuthenticationError, match=r"unknown Authorization: Bearer \*\*\* "):
                client.batch_analyze(prepared())
        assert len(cloud.requests) == 2

    def test_costs_nothing_but_the_request_if_it_is_an_api_key(self) -> None:
        heads: list[str] = []
        denied = reply(b"{}", status="401 Unauthorized")
        with serving(lambda connection: connection.sendall(denied), heads=heads) as url:
            assert isinstance(error_of(new_client(host=url)), AuthenticationError)
        assert len(heads) == 1

    def test_whose_renewal_fails_is_an_unavailable_service(self) -> None:
        def fetch() -> Token:
            if fetched:
                raise UnavailableError("no reply")
            fetched.append(1)
            return Token(IAM_TOKEN, 3600)

        fetched: list[int] = []
        with running_cloud() as cloud:
            error = error_of(VisionClient(IamToken("test", fetch), host=cloud.url))
        assert isinstance(error, UnavailableError)
        assert error.message == "no IAM token for test: no reply"


class TestReason:
    """Why there was no reply, in words alone."""

    def test_of_a_refused_connection(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert (
            error_of(new_client(host=url)).message == f"no reply from {url}/vision/v1/batchAnalyze: Connection refused"
        )

    def test_of_an_untrusted_certificate(self, tmp_path: Path) -> None:
        with serving(answer, tls=tls_context(tmp_path / "ca.pem")) as url:
            message = error_of(new_client(host=url)).message
        assert "certificate verify failed: " in message
        assert not set("[]()") & set(message)

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "wrong version number"),
            (
                OSError("<Connection object at 0x7f>: Failed to connect: [Errno 113] No route"),
                "Failed to connect: No route",
            ),
            (OSError("Pool(host='x', port=1): Read timed out."), "Read timed out."),
            (OSError("Failed to parse: http://user:word@[::1:x"), "Failed to parse: http://[::1:x"),
            (OSError(), "OSError"),
        ],
    )
    def test_has_no_numbers_and_addresses_of_the_library(self, error: OSError, reason: str) -> None:
        assert root_cause(requests.ConnectionError(error)) == reason
