"""What goes over ``requests``: the key's header, bounded replies, connections that another thread can end.

The only module that imports it, and imported late: ``requests`` takes longer to load than all the rest, and
most processes that import this package only parse DAGs.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import Any, AnyStr

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, ReadTimeoutError

from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ProtocolError, UnavailableError
from airflow_provider_yandex_vision.vision.messages import RequestBody
from airflow_provider_yandex_vision.vision.pacing import Clock

MAX_REPLY_BYTES = 32 * 1024 * 1024
MAX_REPLY_BYTES_IN_MEMORY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that came to its end; the key is not in it."""

    status: int
    headers: Mapping[str, str]
    payload: bytes


class Transport:
    """Posts to one URL over kept-alive connections. Safe to share between threads.

    :param timeout: seconds to wait for a connection, and for the whole reply after that.
    :param connections: kept open at once; more requests than that wait for one.
    :raises ConfigurationError: the URL is none, or the key one that no header can carry.
    """

    def __init__(
        self,
        api_key: str,
        url: str,
        timeout: tuple[float, float],
        connections: int,
        session: requests.Session | None,
        clock: Clock,
    ) -> None:
        self._auth = ApiKeyAuth(api_key)
        self._timeout = timeout
        self._clock = clock
        self._adapter = AbortableAdapter(connections)
        self._session = session or requests.Session()
        if session is None:
            self._session.mount("https://", self._adapter)
            self._session.mount("http://", self._adapter)
        # Once, and not for every request: a session would go through all variables and build everything anew.
        request = requests.Request("POST", url, headers={"Content-Type": "application/json"}, auth=self._auth)
        try:
            self._request = self._session.prepare_request(request)
        except requests.RequestException as error:
            raise ConfigurationError(f"requests cannot be sent to {url}: {error}") from None
        # A session of the caller's may bring certificates of its own; it cannot do without any.
        verify = self._session.verify or True
        self._settings = self._session.merge_environment_settings(url, {}, stream=True, verify=verify, cert=None)

    def post(self, body: RequestBody, headers: dict[str, str]) -> Reply:
        """:raises UnavailableError: there is no reply, or not all of it.
        :raises ProtocolError: the reply is too large.
        """
        deadline = self._clock() + sum(self._timeout)
        request: Any = self._request.copy()
        request.body = body
        request.headers.update(headers, **{"Content-Length": str(len(body))})
        try:
            with self._session.send(request, timeout=self._timeout, allow_redirects=False, **self._settings) as reply:
                payload = self._read(reply, deadline)
        except (requests.RequestException, HTTPError, OSError) as error:
            timed_out = isinstance(error, (requests.ReadTimeout, ReadTimeoutError))
            trouble = "no reply in time" if timed_out else self._auth.hide(_root_cause(error))
        else:
            said = CaseInsensitiveDict((name, self._auth.hide(value)) for name, value in reply.headers.items())
            return Reply(reply.status_code, said, self._auth.hide(payload))
        # Out here it has no context: the library's own errors quote what came, and that may be the key.
        raise UnavailableError(trouble)

    def abort(self) -> None:
        """End the requests in flight; each raises :class:`UnavailableError` in its own thread."""
        self._adapter.abort()

    def close(self) -> None:
        self._session.close()

    def _read(self, reply: requests.Response, deadline: float) -> bytes:
        """The reply's body, bounded in bytes (also when it is packed) and in time (also when it drips)."""
        # Absurdly large ones go to disk: freed, their memory would stay with the allocator, once for every thread.
        with SpooledTemporaryFile(MAX_REPLY_BYTES_IN_MEMORY) as payload:
            # Not iter_content: that waits for a whole chunk, and so for ever where the reply drips.
            while chunk := reply.raw.read1(64 * 1024, decode_content=True):
                payload.write(chunk)
                if payload.tell() > MAX_REPLY_BYTES:
                    raise ProtocolError(f"the reply is over {MAX_REPLY_BYTES:,} bytes", http_status=reply.status_code)
                if self._clock() > deadline:
                    raise UnavailableError("the reply did not end in time", http_status=reply.status_code)
            payload.seek(0)
            return payload.read()


class AbortableAdapter(HTTPAdapter):
    """Keeps sight of its connections, so that :meth:`abort` can end what waits on them."""

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
        """Close idle connections here and now: urllib3 does when the last error that names their pool is forgotten."""
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

    def hide(self, said: AnyStr) -> AnyStr:
        """What a reply says without the key, should anything on the way echo it."""
        if isinstance(said, str):
            return said.replace(self._api_key, "***")
        return said.replace(self._api_key.encode(), b"***")


def _root_cause(error: BaseException) -> str:
    """Innermost reason, without a proxy's password; the outer layers repeat URLs and object addresses."""
    inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
    reason = getattr(error, "reason", None)
    deeper = reason if isinstance(reason, BaseException) else inner or error.__cause__
    if deeper is not None:
        return _root_cause(deeper)
    return re.sub("//[^/]*@", "//", str(error).rpartition(": ")[2]) or type(error).__name__
