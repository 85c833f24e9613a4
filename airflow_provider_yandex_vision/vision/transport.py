"""A ``requests`` adapter whose requests in flight can be ended from another thread."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref
from functools import partial
from typing import Any

from requests.adapters import HTTPAdapter


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
