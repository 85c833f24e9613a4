"""A server of a test's own on 127.0.0.1, for claims about sockets."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import trustme

Answer = Callable[[socket.socket], object]


@contextmanager
def serving(answer: Answer, *, tls: ssl.SSLContext | None = None, heads: list[str] | None = None) -> Iterator[str]:
    """Base URL of a server that reads each request whole and lets ``answer`` write to its connection.

    A connection stays open until either side closes it.

    :param heads: gets the head of every request.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(
            target=_accept, args=(listener, answer, tls, [] if heads is None else heads), daemon=True
        ).start()
        yield f"{'https' if tls else 'http'}://localhost:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def tls_context(authority: Path) -> ssl.SSLContext:
    """A server's, with a certificate that only those trust who were given the file that this writes."""
    issuer, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issuer.issue_cert("localhost").configure_cert(context)
    issuer.cert_pem.write_to_path(authority)
    return context


def reply(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """An HTTP reply; ``length`` promises another number of bytes than there are."""
    announced = f"Content-Length: {len(body) if length is None else length}"
    return "\r\n".join((f"HTTP/1.1 {status}", announced, *headers, "\r\n")).encode() + body


def _accept(listener: socket.socket, answer: Answer, tls: ssl.SSLContext | None, heads: list[str]) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, answer, tls, heads), daemon=True).start()


def _serve(connection: socket.socket, answer: Answer, tls: ssl.SSLContext | None, heads: list[str]) -> None:
    with suppress(OSError), connection:
        channel = tls.wrap_socket(connection, server_side=True) if tls else connection
        with channel, channel.makefile("rb") as requests:
            while head := _read_request(requests):
                heads.append(head)
                answer(channel)


def _read_request(requests: BinaryIO) -> str:
    """The head of a request that came whole; empty where none did."""
    head, length = "", 0
    for line in iter(requests.readline, b"\r\n"):
        if not line:
            return ""
        head += line.decode("latin-1")
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head if len(requests.read(length)) == length else ""
