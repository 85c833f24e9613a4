"""What goes below ``requests``: the key's header, and connections that can be ended from another thread."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import weakref
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from airflow_provider_yandex_vision.vision.errors import ConfigurationError


class AbortableAdapter(HTTPAdapter):
    """Keeps sight of its connections, so that :meth:`abort` can end what waits on them.

    :param connections: kept open at once; more requests than that wait for one.
    """

    def __init__(self, connections: int) -> None:
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()
        super().__init__(pool_connections=1, pool_maxsize=connections, pool_block=True)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if not isinstance(pool.ConnectionCls, partial):
            pool.ConnectionCls = partial(self._connect, pool.ConnectionCls)
        return pool

    def _connect(self, connection_class: Any, **kwargs: Any) -> Any:
        connection = connection_class(**kwargs)
        with self._lock:
            self._connections.add(connection)
        return connection

    def abort(self) -> None:
        """End every request in flight: each raises a connection error in its own thread."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            sock = getattr(connection, "sock", None)
            if sock is not None:
                with contextlib.suppress(OSError):
                    # Not sock.shutdown: an SSL socket's own takes TLS away from under the thread that reads.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


class ApiKeyAuth(AuthBase):
    """Sets the header on each request. Being an auth object it wins over ``~/.netrc``.

    :raises ConfigurationError: the key has characters that a header cannot carry; the HTTP library's own complaint
        would print it.
    """

    def __init__(self, api_key: str) -> None:
        if not re.fullmatch("[!-~]+", api_key):
            raise ConfigurationError("the API key is empty or has characters that no key has: copy it again")
        self._api_key = api_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Api-Key {self._api_key}"
        return request

    def __repr__(self) -> str:
        return "ApiKeyAuth(***)"

    def hide(self, payload: bytes) -> bytes:
        """A reply that cannot show the key, should anything on the way echo it."""
        return payload.replace(self._api_key.encode(), b"***")
