from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from airflow_provider_yandex_vision.vision.client import VisionClient
from airflow_provider_yandex_vision.vision.errors import UnavailableError
from tests.support.loopback import reply, serving
from tests.support.secrets import API_KEY
from tests.vision.conftest import ONE_RESULT, answer, checked, error_of


class TestConnection:
    def test_is_kept_alive_between_requests(self) -> None:
        peers: list[object] = []

        def note_peer(connection: socket.socket) -> None:
            peers.append(connection.getpeername())
            connection.sendall(ONE_RESULT)

        with serving(note_peer) as url:
            client = VisionClient(API_KEY, host=url)
            for _ in range(3):
                client.batch_analyze(checked("memory://a"))
            client.close()
        assert len(peers) == 3
        assert len(set(peers)) == 1

    def test_goes_through_the_proxy_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving(answer) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy)
            client = VisionClient(API_KEY, host="http://vision.test")
            assert client.batch_analyze(checked("memory://a"))[0].status == "none"

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_trusts_the_certificates_of_the_environment(
        self, tls: ssl.SSLContext, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serving(answer, tls=tls) as url:
            assert "certificate" in error_of(VisionClient(API_KEY, host=url)).message
            monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
            client = VisionClient(API_KEY, host=url)
            assert client.batch_analyze(checked("memory://a"))[0].status == "none"

    def test_is_verified_whatever_others_have_switched_off(
        self, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
        heads: list[str] = []
        with serving(answer, tls=tls, heads=heads) as url, requests.Session() as session:
            session.verify = False
            for client in (VisionClient(API_KEY, host=url), VisionClient(API_KEY, host=url, session=session)):
                assert "certificate" in error_of(client).message
        assert heads == []

    def test_that_ends_before_the_reply_does_is_no_reply(self) -> None:
        def cut_short(connection: socket.socket) -> None:
            connection.sendall(reply(b'{"results": [', length=1000))
            connection.shutdown(socket.SHUT_RDWR)

        with serving(cut_short) as url:
            error = error_of(VisionClient(API_KEY, host=url))
        assert isinstance(error, UnavailableError)
        assert "IncompleteRead" in error.message

    @pytest.mark.parametrize("garbage", [b"", b"220 mail.test ESMTP\r\n", b"\x15\x03\x01\x00\x02\x02\x50"])
    def test_to_something_that_does_not_speak_http_is_no_reply(self, garbage: bytes) -> None:
        def babble(connection: socket.socket) -> None:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_RDWR)

        with serving(babble) as url:
            assert isinstance(error_of(VisionClient(API_KEY, host=url)), UnavailableError)

    @pytest.mark.parametrize("begun", [b"", reply(b"{", length=9)], ids=["no reply", "a reply begun"])
    def test_that_falls_silent_is_given_up(self, begun: bytes) -> None:
        with serving(lambda connection: connection.sendall(begun)) as url:
            error = error_of(VisionClient(API_KEY, host=url, timeout=0.1))
        assert isinstance(error, UnavailableError)
        assert error.message == f"{url} could not be asked: no reply in time"
        assert error.uris == ("memory://a",)

    @pytest.mark.parametrize("chunked", [False, True])
    def test_that_drips_is_given_up_at_the_deadline(self, chunked: bool) -> None:
        """Each byte comes well in time; the clock says that the whole does not."""

        def drip(connection: socket.socket) -> None:
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" if chunked else reply(b"", length=1000)
            connection.sendall(head)
            with suppress(OSError):
                for _ in range(300):
                    connection.sendall(b"1\r\n \r\n" if chunked else b" ")
                    time.sleep(0.01)
            connection.shutdown(socket.SHUT_RDWR)

        with serving(drip) as url:
            error = error_of(VisionClient(API_KEY, host=url, clock=itertools.count(step=30).__next__))
        assert isinstance(error, UnavailableError)
        assert "the reply did not end in time" in error.message

    def test_is_ended_by_abort_from_another_thread(self) -> None:
        asked = threading.Event()
        with serving(lambda connection: asked.set()) as url, ThreadPoolExecutor(1) as pool:
            client = VisionClient(API_KEY, host=url, timeout=5)
            error = pool.submit(error_of, client)
            assert asked.wait(5)
            client.abort()
            assert isinstance(error.result(timeout=2), UnavailableError)

    def test_that_is_refused_is_said_to_be_without_the_key(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        error = error_of(VisionClient(API_KEY, host=f"http://127.0.0.1:{port}"))
        assert API_KEY not in "".join(traceback.format_exception(error))
        assert error.message.startswith(f"http://127.0.0.1:{port} could not be asked: ")
        assert error.message.endswith("Connection refused")
