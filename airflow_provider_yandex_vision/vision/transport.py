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
from urllib3.exceptions import HTTPError

from airflow_provider_yandex_vision.vision.credentials import ApiKey
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ProtocolError, UnavailableError
from airflow_provider_yandex_vision.vision.wire import RequestBody

MAX_REPLY_BYTES = 32 * 1024 * 1024
MAX_REPLY_BYTES_IN_MEMORY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply, with the credentials removed."""

    status: int
    headers: Mapping[str, str]
    payload: bytes


class Transport:
    """Posts to one URL over kept-alive connections. Safe to share between threads.

    :param timeouts: seconds to wait for a connection, and then for the whole reply.
    :param connections: open at once; further requests wait for one.
    :raises ConfigurationError: the URL is invalid.
    """

    def __init__(
        self, credentials: ApiKey, url: str, timeouts: tuple[float, float], connections: int, clock: Callable[[], float]
    ) -> None:
        self._credentials = credentials
        self._timeouts = timeouts
        self._clock = clock
        self._adapter = AbortableAdapter(connections)
        self._session = requests.Session()
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)
        # Prepared once: a session would read the environment and build everything again for every request.
        request = requests.Request("POST", url, headers={"Content-Type": "application/json"}, auth=credentials)
        try:
            self._request = self._session.prepare_request(request)
        except requests.RequestException as error:
            raise ConfigurationError(f"cannot send requests to {url}: {error}") from None
        self._settings = self._session.merge_environment_settings(url, {}, stream=True, verify=None, cert=None)

    def post(self, body: RequestBody, headers: dict[str, str]) -> Reply:
        """
        :raises UnavailableError: there was no reply, or it was incomplete.
        :raises ProtocolError: the reply is too large.
        """
        deadline = self._clock() + sum(self._timeouts)
        request: Any = self._request.copy()
        request.body = body
        request.headers.update(headers, **{"Content-Length": str(len(body))})
        hide = self._credentials.hide
        try:
            with self._session.send(request, timeout=self._timeouts, allow_redirects=False, **self._settings) as reply:
                payload = hide(self._read(reply, deadline))
                reply_headers = CaseInsensitiveDict((name, hide(value)) for name, value in reply.headers.items())
                return Reply(reply.status_code, reply_headers, payload)
        except (requests.RequestException, HTTPError, OSError) as error:
            reason = hide(_root_cause(error))
        # Raised here it has no context: the library's own errors quote the reply, which may contain the key.
        raise UnavailableError(f"no reply from {self._request.url}: {reason}")

    def abort(self) -> None:
        """End the requests in flight; each raises :class:`UnavailableError` in its own thread."""
        self._adapter.abort()

    def close(self) -> None:
        self._session.close()

    def _read(self, reply: requests.Response, deadline: float) -> bytes:
        """The reply's body, bounded in bytes (even if it is compressed) and in time (even if it drips)."""
        # Huge replies go to disk: once freed, their memory would stay with the allocator, for every thread.
        with SpooledTemporaryFile(MAX_REPLY_BYTES_IN_MEMORY) as payload:
            # Not iter_content: it waits for a whole chunk, so for ever if the reply drips.
            while chunk := reply.raw.read1(64 * 1024, decode_content=True):
                payload.write(chunk)
                if payload.tell() > MAX_REPLY_BYTES:
                    reason = f"the reply is larger than {MAX_REPLY_BYTES:,} bytes"
                    raise ProtocolError(reason, http_status=reply.status_code)
                if self._clock() > deadline:
                    raise TimeoutError("the reply did not end in time")
            payload.seek(0)
            return payload.read()


class AbortableAdapter(HTTPAdapter):
    """Tracks its connections, so that :meth:`abort` can end whatever waits on them."""

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
                    # Not sock.shutdown: on an SSL socket it removes TLS while another thread reads.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _connect(self, connection_class: Any, **kwargs: Any) -> Any:
        connection = connection_class(**kwargs)
        with self._lock:
            self._connections.add(connection)
        return connection


def _root_cause(error: BaseException) -> str:
    """The innermost reason, without a proxy's password. Outer layers repeat URLs and object addresses."""
    inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
    reason = getattr(error, "reason", None)
    deeper = reason if isinstance(reason, BaseException) else inner or error.__cause__
    if deeper is not None:
        return _root_cause(deeper)
    return re.sub("//[^/]*@", "//", str(error).rpartition(": ")[2]) or type(error).__name__
