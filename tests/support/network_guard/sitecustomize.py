"""No test reaches the network: importing this makes connections and name lookups that leave this machine fail.

An audit hook sees each of them before it happens, no matter which library makes it, and is inherited by forks.
``conftest.py`` imports it and adds this folder to ``PYTHONPATH``, so that every Python program started by a test
imports it too. Not guarded: other programs (a browser, uv) and C libraries with their own sockets (libpq, DuckDB).
A name passed directly to ``connect()`` is looked up before the hook sees it, but not connected to.
"""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address
from typing import Any

LOCAL_NAMES = {"", "localhost", socket.gethostname()}

attempts: list[str] = []
"""What was refused in this process. Code under test may swallow the error, so ``conftest.py`` looks here."""


class NetworkError(OSError):
    """A test tried to reach another machine."""


def is_local(host: object) -> bool:
    """Whether a name or an address is this machine's, known without asking anybody."""
    name = host.decode() if isinstance(host, bytes | bytearray) else str(host)
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return name in LOCAL_NAMES
    return address.is_loopback or address.is_unspecified


def _host(event: str, args: tuple[Any, ...]) -> object:
    """The host that an audit event is about; None if there is none."""
    match event:
        case "socket.connect" | "socket.sendto" | "socket.sendmsg":
            connection, address = args
            return address[0] if address and connection.family in (socket.AF_INET, socket.AF_INET6) else None
        case "socket.getaddrinfo" | "socket.gethostbyname" | "socket.gethostbyaddr":
            return args[0]
        case "socket.getnameinfo":
            return args[0][0]
    return None


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event.startswith("socket.") and (host := _host(event, args)) is not None and not is_local(host):
        attempts.append(f"{event} {host!r}")
        raise NetworkError(f"tests must not reach the network: {attempts[-1]}")


sys.addaudithook(_refuse)
