"""HTTP over ``requests``: bounded replies, and connections that another thread can end.

The only module that imports ``requests``; :mod:`~airflow_provider_yandex_vision.vision.client` imports it late.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, ReadTimeoutError

from airflow_provider_yandex_vision.vision.credentials import ApiKey
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ProtocolError, UnavailableError
from airflow_provider_yandex_vision.vision.wire import RequestBody

MAX_REPLY_BYTES = 32 * 1024 * 1024
MAX_REPLY_BYTES_IN_MEMORY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply, from which the credentials were removed."""

    status: int
    headers: Mapping[str, str]
    payload: bytes


class Transport:
    """Posts to one URL over kept-alive connections. Safe to share between threads.

    :param timeouts: seconds to wait for a connection, and then for the whole reply.
    :param connections: kept open at once; further requests wait for one.
    :raises ConfigurationError: not a URL.
    """

    def __init__(
        self,
        credentials: ApiKey,
        url: str,
        timeouts: tuple[float, float],
        connections: int,
        session: requests.Session | None,
        clock: Callable[[], float],
    ) -> None:
        self._credentials = credentials
        self._timeouts = timeouts
        self._clock = clock
        self._adapter = AbortableAdapter(connections)
        self._session = session or requests.Session()
        if session is None:
            self._session.mount("https://", self._adapter)
            self._session.mount("http://", self._adapter)
        # Prepared once: for every request a session would read the environment and build everything again.
        request = requests.Request("POST", url, headers={"Content-Type": "application/json"}, auth=credentials)
        try:
            self._request = self._session.prepare_request(request)
        except requests.RequestException as error:
            raise ConfigurationError(f"cannot send requests to {url}: {error}") from None
        # A caller's session may bring its own certificates; it cannot turn verification off.
        verify = self._session.verify or True
        self._settings = self._session.merge_environment_settings(url, {}, stream=True, verify=verify, cert=None)

    def post(self, body: RequestBody, headers: dict[str, str]) -> Reply:
        """
        :raises UnavailableError: no reply, or not all of it.
        :raises ProtocolError: the reply is too large.
        """
        deadline = self._clock() + sum(self._timeouts)
        request: Any = self._request.copy()
        request.body = body
        request.headers.update(headers, **{"Content-Length": str(len(body))})
        hide = self._credentials.hide
        try:
            with self._session.send(request, timeout=self._timeouts, allow_redirects=False, **self._settings) as reply:
                payload = self._read(reply, deadline)
        except (requests.RequestException, HTTPError, OSError) as error:
            timed_out = isinstance(error, (requests.ReadTimeout, ReadTimeoutError))
            reason = "timed out" if timed_out else hide(_root_cause(error))
        else:
            reply_headers = CaseInsensitiveDict((name, hide(value)) for name, value in reply.headers.items())
            return Reply(reply.status_code, reply_headers, hide(payload))
        # Raised out here it has no context: the library's own errors quote the reply, and that may contain the key.
        raise UnavailableError(reason)

    def abort(self) -> None:
        """End the requests in flight; each raises :class:`UnavailableError` in its own thread."""
        self._adapter.abort()

    def close(self) -> None:
        self._session.close()

    def _read(self, reply: requests.Response, deadline: float) -> bytes:
        """The reply's body, bounded in bytes (even if it is compressed) and in time (even if it drips)."""
        # Huge replies go to disk: once freed, their memory would stay with the allocator, for every thread.
        with SpooledTemporaryFile(MAX_REPLY_BYTES_IN_MEMORY) as payload:
            # Not iter_content, which waits for a whole chunk, and so for ever if the reply drips.
            while chunk := reply.raw.read1(64 * 1024, decode_content=True):
                payload.write(chunk)
                if payload.tell() > MAX_REPLY_BYTES:
                    raise ProtocolError(
                        f"the reply is larger than {MAX_REPLY_BYTES:,} bytes", http_status=reply.status_code
                    )
                if self._clock() > deadline:
                    raise UnavailableError("the reply did not end in time", http_status=reply.status_code)
            payload.seek(0)
            return payload.read()


class AbortableAdapter(HTTPAdapter):
    """Keeps track of its connections, so that :meth:`abort` can end whatever waits on them."""

    def __init__(self, connections: int) -> None:
        self._pools: weakref.WeakSet[Any] = weakref.WeakSet()
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()
        super().__init__(pool_connections=1, pool_maxsize=connections, pool_block=True)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if not isinstance(pool.ConnectionCls, partial):
            pool.ConnectionCls = partial(self._connect, pool.ConnectionCls)
            self._pools.add(pool)
        return pool

    def _connect(self, connection_class: Any, **kwargs: Any) -> Any:
        connection = connection_class(**kwargs)
        with self._lock:
            self._connections.add(connection)
        return connection

    def close(self) -> None:
        """Close idle connections now. urllib3 keeps them until the last error that refers to their pool is gone."""
        for pool in list(self._pools):
            pool.close()
        super().close()

    def abort(self) -> None:
        """End every request in flight: each raises a connection error in its own thread."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            sock = getattr(connection, "sock", None)
            if isinstance(sock, socket.socket):
                with contextlib.suppress(OSError):
                    # Not sock.shutdown: that of an SSL socket removes TLS under the thread that reads.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _root_cause(error: BaseException) -> str:
    """The innermost reason, without a proxy's password. Outer layers repeat URLs and object addresses."""
    inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
    reason = getattr(error, "reason", None)
    deeper = reason if isinstance(reason, BaseException) else inner or error.__cause__
    if deeper is not None:
        return _root_cause(deeper)
    return re.sub("//[^/]*@", "//", str(error).rpartition(": ")[2]) or type(error).__name__
