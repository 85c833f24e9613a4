"""Serve a :class:`.service.Service` over HTTP/1.1, with keep-alive and one thread per connection."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any

from airflow_provider_yandex_vision.emulator.contract import INVALID_ARGUMENT, MAX_CONTENT_CHARACTERS, Refusal
from airflow_provider_yandex_vision.emulator.service import Answer, Service
from airflow_provider_yandex_vision.vision.wire import MAX_IMAGES_PER_REQUEST

IDLE_SECONDS = 120.0
"""Idle connections are closed after this time."""
SECONDS_TO_DISCARD = 2.0
MAX_BODY_BYTES = MAX_IMAGES_PER_REQUEST * (MAX_CONTENT_CHARACTERS + 20_000)
MAX_LINE_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024


@contextmanager
def running(service: Service, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve inside the ``with`` block.

    :param port: 0 picks a free port.
    :return: the URL of the server, without a path.
    :raises OSError: the address is in use or does not belong to this machine.
    """
    with _Server((host, port), service) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), name="emulator", daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "yandex-vision-emulator"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    server: _Server

    def _answer(self) -> None:
        service = self.server.service
        headers = {name.lower(): value for name, value in self.headers.items()}
        accepted = service.accepts(headers)
        try:
            length = _length(headers)
            body = self._read(length) if accepted else b""
        except Refusal as refusal:  # where the next request begins is unknown
            self.close_connection = True
            self._reply(service.refuse(refusal))
            self._discard(MAX_BODY_BYTES)
            return
        # A client that waits for our consent to send its body will not send it.
        self.close_connection |= not accepted and (length is None or "expect" in headers)
        self._reply(service.answer(self.command, self.path, headers, body))
        if not accepted:
            self._discard(MAX_BODY_BYTES if length is None else length)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def handle_expect_100(self) -> bool:
        accepted = self.server.service.accepts({name.lower(): value for name, value in self.headers.items()})
        return super().handle_expect_100() if accepted else True

    def _reply(self, reply: Answer) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def _read(self, length: int | None) -> bytes:
        return self._read_chunks() if length is None else self._read_exactly(length)

    def _read_exactly(self, length: int) -> bytes:
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionAbortedError("the client disconnected during a request")
        return body

    def _read_chunks(self) -> bytes:
        chunks: list[bytes] = []
        total = 0
        while size := _chunk_size(self.rfile.readline(MAX_LINE_BYTES)):
            total += size
            _check_length(total)
            chunks.append(self._read_exactly(size))
            self.rfile.readline(MAX_LINE_BYTES)
        while self.rfile.readline(MAX_LINE_BYTES).strip():
            continue
        return b"".join(chunks)

    def _discard(self, length: int) -> None:
        """Take what is not worth keeping: closing on unread bytes would reset the connection, and lose the reply."""
        if self.close_connection:
            self.connection.settimeout(SECONDS_TO_DISCARD)
        while length > 0 and (piece := self.rfile.read1(min(length, PIECE_BYTES))):
            length -= len(piece)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: ``GET /statistics`` has the counts."""


def _length(headers: Mapping[str, str]) -> int | None:
    """Of the body; None if it comes in chunks."""
    if "transfer-encoding" in headers:
        return None
    text = headers.get("content-length", "0")
    if not re.fullmatch("[0-9]{1,18}", text):
        raise Refusal(400, INVALID_ARGUMENT, "Content-Length is not a number")
    _check_length(int(text))
    return int(text)


def _check_length(length: int) -> None:
    if length > MAX_BODY_BYTES:
        raise Refusal(413, INVALID_ARGUMENT, f"the body is larger than {MAX_BODY_BYTES} bytes")


def _chunk_size(line: bytes) -> int:
    size = line.partition(b";")[0].strip()
    if not re.fullmatch(b"[0-9a-fA-F]{1,15}", size):
        raise Refusal(400, INVALID_ARGUMENT, "the body is not chunked as its header says")
    return int(size, 16)


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        super().__init__(address, _Handler)
        self.service = service

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect; print everything else, since it is a bug."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
