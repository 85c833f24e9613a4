from __future__ import annotations

import socket
import ssl
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.vision.errors import UnavailableError
from tests.support.loopback import reply, serving
from tests.support.secrets import API_KEY
from tests.vision.conftest import ONE_RESULT, answer, error_of, new_client, prepared


class TestConnection:
    def test_is_kept_alive_between_requests(self) -> None:
        peers: list[object] = []

        def note_peer(connection: socket.socket) -> None:
            peers.append(connection.getpeername())
            connection.sendall(ONE_RESULT)

        with serving(note_peer) as url:
            client = new_client(host=url)
            for _ in range(3):
                client.batch_analyze(prepared())
            client.close()
        assert len(peers) == 3
        assert len(set(peers)) == 1

    def test_uses_the_proxy_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving(answer) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy)
            client = new_client(host="http://vision.test")
            assert client.batch_analyze(prepared())[0].status == "none"

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_trusts_certificates_from_the_environment(
        self, tls: ssl.SSLContext, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serving(answer, tls=tls) as url:
            assert "certificate" in error_of(new_client(host=url)).message
            monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
            client = new_client(host=url)
            assert client.batch_analyze(prepared())[0].status == "none"

    def test_verification_cannot_be_disabled(self, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
        heads: list[str] = []
        with serving(answer, tls=tls, heads=heads) as url:
            assert "certificate" in error_of(new_client(host=url)).message
        assert heads == []

    def test_closed_during_the_reply_is_unavailable(self) -> None:
        def cut_short(connection: socket.socket) -> None:
            connection.sendall(reply(b'{"results": [', length=1000))
            connection.shutdown(socket.SHUT_RDWR)

        with serving(cut_short) as url:
            error = error_of(new_client(host=url))
        assert isinstance(error, UnavailableError)
        assert "IncompleteRead" in error.message

    @pytest.mark.parametrize("garbage", [b"", b"220 mail.test ESMTP\r\n", b"\x15\x03\x01\x00\x02\x02\x50"])
    def test_to_something_other_than_http_is_unavailable(self, garbage: bytes) -> None:
        def babble(connection: socket.socket) -> None:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_RDWR)

        with serving(babble) as url:
            assert isinstance(error_of(new_client(host=url)), UnavailableError)

    @pytest.mark.parametrize("begun", [b"", reply(b"{", length=9)], ids=["no reply", "partial reply"])
    def test_that_stalls_times_out(self, begun: bytes) -> None:
        with serving(lambda connection: connection.sendall(begun)) as url:
            error = error_of(new_client(host=url, timeout=0.1))
        assert isinstance(error, UnavailableError)
        assert error.message == f"no reply from {url}/vision/v1/batchAnalyze: timed out"
        assert error.uris == ("memory://a",)

    def test_is_ended_by_abort_from_another_thread(self) -> None:
        asked = threading.Event()
        with serving(lambda connection: asked.set()) as url, ThreadPoolExecutor(1) as pool:
            client = new_client(host=url, timeout=5)
            error = pool.submit(error_of, client)
            assert asked.wait(5)
            client.abort()
            assert isinstance(error.result(timeout=2), UnavailableError)

    def test_refused_is_reported_without_the_key(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        error = error_of(new_client(host=f"http://127.0.0.1:{port}"))
        assert API_KEY not in "".join(traceback.format_exception(error))
        assert error.message.startswith(f"no reply from http://127.0.0.1:{port}/")
        assert error.message.endswith("Connection refused")
