"""Serve a :class:`.service.Service` over HTTP/1.1, with keep-alive and one thread per connection."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any

from airflow_provider_yandex_vision.emulator.service import Service

IDLE_SECONDS = 120.0
"""Idle connections are closed after this time."""


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
        headers = {name.lower(): value for name, value in self.headers.items()}
        # Read even if the request is going to be rejected: closing on unread bytes would reset the connection.
        body = self._read_chunks() if "transfer-encoding" in headers else self._read(headers.get("content-length", "0"))
        reply = self.server.service.answer(self.command, self.path, headers, body)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def _read(self, length: str) -> bytes:
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the client disconnected during a request")
        return body

    def _read_chunks(self) -> bytes:
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            continue
        return b"".join(chunks)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: ``GET /statistics`` has the counts."""


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
