from __future__ import annotations

import http.client
import json
import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_yandex_vision.emulator.copies import CopyIndex
from airflow_provider_yandex_vision.emulator.pages import Page
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.vision.wire import RequestBody, encode_image

PATH = "/vision/v1/batchAnalyze"


@pytest.fixture
def connection(index: CopyIndex[Page]) -> Iterator[http.client.HTTPConnection]:
    with running(Service(index, api_key="key")) as url:
        connection = connect(url)
        yield connection
        connection.close()


def connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)


def ask(connection: http.client.HTTPConnection, body: Any, **headers: str) -> tuple[int, bytes]:
    connection.request("POST", PATH, body, {"AUTHORIZATION": "Api-Key key", **headers})
    response = connection.getresponse()
    assert response.headers["x-request-id"]
    assert response.headers["x-server-trace-id"]
    assert response.headers.get_content_type() == "application/json"
    return response.status, response.read()


def request_for(*contents: bytes) -> bytes:
    return b"".join(RequestBody([encode_image(content, "image/jpeg") for content in contents]))


def annotations_of(reply: bytes) -> list[Any]:
    """What the reply says about each image."""
    return [result["results"][0]["imageCopySearch"] for result in json.loads(reply)["results"]]


def test_search_over_http(connection: http.client.HTTPConnection, cat: bytes, rocket: bytes) -> None:
    status, body = ask(connection, request_for(cat, rocket))
    assert status == 200
    assert "Кот недели".encode() in body
    found, none = annotations_of(body)
    assert [match["title"] for match in found["topResults"]] == ["my cat", "Кот недели"]
    assert none == {}


def test_connection_is_kept_alive(connection: http.client.HTTPConnection, rocket: bytes) -> None:
    ask(connection, request_for(rocket))
    before = connection.sock
    assert before
    ask(connection, b"{", Authorization="none")
    assert ask(connection, request_for(rocket))[0] == 200
    assert connection.sock is before


def test_reply_is_sent_without_delay(connection: http.client.HTTPConnection) -> None:
    """Nagle's algorithm with delayed acknowledgements would add 40 ms to each request."""
    ask(connection, b"{}")
    started = time.monotonic()
    for _ in range(20):
        ask(connection, b"{}")
    assert time.monotonic() - started < 20 * 0.03


def test_chunked_body_is_read(connection: http.client.HTTPConnection, cat: bytes) -> None:
    body = request_for(cat)
    status, reply = ask(connection, iter([body[:1000], body[1000:]]))
    assert status == 200
    assert annotations_of(reply)[0]["copyCount"] == "2"
    assert ask(connection, b"{}")[0] == 400


def test_large_rejected_body_gets_a_reply_and_no_reset(connection: http.client.HTTPConnection) -> None:
    status, body = ask(connection, b"x" * 30_000_000, AUTHORIZATION="wrong")
    assert status == 401
    assert json.loads(body)["code"] == 16


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_404(connection: http.client.HTTPConnection, method: str) -> None:
    connection.request(method, PATH)
    response = connection.getresponse()
    assert response.status == 404
    assert json.loads(response.read())["code"] == 5


def test_disconnecting_clients_do_no_harm(connection: http.client.HTTPConnection) -> None:
    for start in (b"", b"POST " + PATH.encode(), f"POST / HTTP/1.1\r\n{RIGHT}Content-Length: 9\r\n\r\nx".encode()):
        with socket.create_connection((connection.host, connection.port)) as client:
            client.sendall(start)
    assert ask(connection, b"{}")[0] == 400
    connection.request("GET", "/statistics")
    assert json.loads(connection.getresponse().read())["requests"]["400"] == 1


def send(connection: http.client.HTTPConnection, head: str, body: bytes = b"") -> tuple[int, Any]:
    """Status and code of the reply to a request as it is; the code of the connection's end is 0."""
    with socket.create_connection((connection.host, connection.port), timeout=10) as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\n{head}\r\n\r\n".encode() + body)
        response = http.client.HTTPResponse(client)
        response.begin()
        return response.status, json.loads(response.read())["code"]


RIGHT, WRONG = "Authorization: Api-Key key\r\n", "Authorization: Api-Key wrong\r\n"


@pytest.mark.parametrize(
    "length", ["Content-Length: 80000000", "Transfer-Encoding: chunked", "Content-Length: 1\r\nExpect: 100-continue"]
)
def test_key_is_checked_before_the_body_comes(connection: http.client.HTTPConnection, length: str) -> None:
    assert send(connection, WRONG + length) == (401, 16)


def test_length_is_checked_before_the_body_comes(connection: http.client.HTTPConnection) -> None:
    assert send(connection, f"{RIGHT}Content-Length: {10**12}") == (413, 3)
    assert send(connection, f"{RIGHT}Transfer-Encoding: chunked", b"fffffffffff\r\n") == (413, 3)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: x", b""),
        ("Content-Length: -1", b""),
        ("Content-Length: " + "9" * 5000, b""),
        ("Transfer-Encoding: chunked", b"x\r\n"),
        ("Transfer-Encoding: chunked", b"-5\r\n"),
        ("Transfer-Encoding: chunked", b"1" * 70_000),
    ],
)
def test_body_of_no_length_is_refused(connection: http.client.HTTPConnection, head: str, body: bytes) -> None:
    assert send(connection, RIGHT + head, body) == (400, 3)


@pytest.mark.parametrize("target", ["http://[", "//[::1", "/?[", "*"])
def test_odd_targets_are_404(connection: http.client.HTTPConnection, target: str) -> None:
    connection.putrequest("POST", target, skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status == 404


@pytest.fixture(autouse=True)
def no_traceback(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client does is worth a line."""
    caplog.set_level(logging.INFO, "PIL")  # Airflow 3.0 prints its records
    yield
    assert capfd.readouterr() == ("", "")


def test_sixteen_connections_are_served_in_parallel(index: CopyIndex[Page], rocket: bytes) -> None:
    service = Service(index)
    body = request_for(*[rocket + bytes(100_000)] * 2)
    with running(service) as url, ThreadPoolExecutor(16) as clients:

        def search(_: int) -> int:
            connection = connect(url)
            status, _body = ask(connection, body)
            connection.close()
            return status

        assert list(clients.map(search, range(16))) == [200] * 16
    assert service.statistics()["images"] == 32


def test_server_stops_after_the_block(index: CopyIndex[Page]) -> None:
    with running(Service(index)) as url:
        pass
    with pytest.raises(ConnectionRefusedError):
        connect(url).request("GET", "/statistics")
