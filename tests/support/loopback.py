"""An HTTP server on 127.0.0.1 whose replies are raw bytes, for claims about sockets and for faults."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

import trustme


class Request(NamedTuple):
    """A request that arrived whole; ``head`` includes the request line."""

    head: str
    body: bytes


Handler: TypeAlias = Callable[[socket.socket, Request], object]
"""Writes a reply to the connection. An OSError closes the connection."""

Answer: TypeAlias = Callable[[socket.socket], object]
"""A handler that does not look at the request."""


class Loopback:
    """A server with a thread per connection. Connections are kept open until either side closes them."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._closed = False
        self._open(port=0)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._shut()

    def restart(self, after: float) -> None:
        """Refuse connections for so many seconds, apart from those that are open."""
        with self._lock:
            if not self._listener:
                return
            self._serve_waiting(self._listener)
            self._shut()
        time.sleep(after)
        with self._lock:
            if not self._closed:
                self._open(self.port)

    def _open(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _shut(self) -> None:
        if self._listener:
            # Closing alone would leave the thread in accept().
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve_waiting(self, listener: socket.socket) -> None:
        """Connections that are made but not accepted would be reset."""
        listener.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                connection, _ = listener.accept()
                connection.setblocking(True)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            channel = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with channel, channel.makefile("rb") as stream:
                while (request := _read_request(stream)) and not self._closed:
                    self._handler(channel, request)


@contextmanager
def serving(answer: Answer, *, tls: ssl.SSLContext | None = None, heads: list[str] | None = None) -> Iterator[str]:
    """Base URL of a server that reads each request and lets ``answer`` write to its connection.

    :param heads: gets the head of every request.
    """

    def handle(connection: socket.socket, request: Request) -> None:
        if heads is not None:
            heads.append(request.head)
        answer(connection)

    server = Loopback(handle, tls)
    yield f"{'https' if tls else 'http'}://localhost:{server.port}"
    server.close()


def tls_context(authority: Path) -> ssl.SSLContext:
    """A server's context, with a certificate that only clients with the file written to ``authority`` trust."""
    issuer, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issuer.issue_cert("localhost", "vision.test").configure_cert(context)
    issuer.cert_pem.write_to_path(authority)
    return context


def reply(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """An HTTP reply; ``length`` announces another number of bytes than there are."""
    announced = f"Content-Length: {len(body) if length is None else length}"
    return "\r\n".join((f"HTTP/1.1 {status}", announced, *headers, "\r\n")).encode() + body


def _read_request(stream: BinaryIO) -> Request | None:
    head, length = "", 0
    for line in iter(stream.readline, b"\r\n"):
        if not line:
            return None
        head += line.decode("latin-1")
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    body = stream.read(length)
    return Request(head, body) if len(body) == length else None
