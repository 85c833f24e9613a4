"""A server of a test's own on 127.0.0.1, for claims about sockets."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

Answer = Callable[[socket.socket], object]


@contextmanager
def serving(answer: Answer, *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Base URL of a server that reads each request whole and lets ``answer`` write to its connection.

    A connection stays open until either side closes it.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, answer, tls), daemon=True).start()
        yield f"{'https' if tls else 'http'}://localhost:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def reply(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """An HTTP reply; ``length`` promises another number of bytes than there are."""
    announced = f"Content-Length: {len(body) if length is None else length}"
    return "\r\n".join((f"HTTP/1.1 {status}", announced, *headers, "\r\n")).encode() + body


def _accept(listener: socket.socket, answer: Answer, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, answer, tls), daemon=True).start()


def _serve(connection: socket.socket, answer: Answer, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError), connection:
        channel = tls.wrap_socket(connection, server_side=True) if tls else connection
        with channel, channel.makefile("rb") as requests:
            while _read_request(requests):
                answer(channel)


def _read_request(requests: BinaryIO) -> bool:
    length = 0
    for line in iter(requests.readline, b"\r\n"):
        if not line:
            return False
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return len(requests.read(length)) == length
