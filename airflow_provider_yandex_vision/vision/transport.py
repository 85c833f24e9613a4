"""HTTP over ``requests``: bounded replies, and connections that another thread can end.

Imported late, as is :mod:`~airflow_provider_yandex_vision.vision.iam`: importing ``requests`` takes long.
"""

from __future__ import annotations

import re
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from mmap import mmap
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import select_proxy
from urllib3.exceptions import HTTPError

from airflow_provider_yandex_vision.vision.calls import Calls, watched
from airflow_provider_yandex_vision.vision.credentials import Credentials
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ProtocolError
from airflow_provider_yandex_vision.vision.faults import Level, fault_of
from airflow_provider_yandex_vision.vision.loopback import is_loopback
from airflow_provider_yandex_vision.vision.wire import RequestBody

MAX_REPLY_BYTES = 32 * 1024 * 1024
PIECE_BYTES = 64 * 1024
GZIP = 16 + zlib.MAX_WBITS
MIN_UPLOAD_RATE = 64 * 1024
"""Bytes per second. A request that takes longer is ended before it is sent as a whole, so it costs nothing."""

NOISE = re.compile(r"^(<[^>]*>|\w+\([^)]*\)): |\[(Errno|SSL)[^]]*] | \(_ssl\.c:\d+\)|(?<=//)[^/]*@")
"""What says nothing to people in the libraries' errors: addresses of objects, numbers. And a proxy's password."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply. Its payload may still echo the credentials: they are found when it is decoded."""

    status: int
    headers: Mapping[str, str]
    payload: bytes


class Transport:
    """Posts to one URL over kept-alive connections. Safe to share between threads.

    :param timeouts: seconds to wait for a connection, and for the whole reply once the request was sent.
    :param connections: open at once; further requests wait for one.
    :raises ConfigurationError: the URL is invalid.
    """

    def __init__(
        self,
        credentials: Credentials,
        url: str,
        timeouts: tuple[float, float],
        connections: int,
        clock: Callable[[], float],
    ) -> None:
        self._credentials = credentials
        self._timeouts = timeouts
        self._calls = Calls(clock)
        self._adapter = WatchedAdapter(connections, self._calls)
        self._session = requests.Session()
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)
        # Prepared once: a session would read the environment and build everything again for every request.
        # The auth keeps ~/.netrc out.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        request = requests.Request("POST", url, headers=headers, auth=lambda request: request)
        try:
            self._request = self._session.prepare_request(request)
        except requests.RequestException as error:
            raise ConfigurationError(f"cannot send requests to {url}: {error}") from None
        self._settings = environment_settings(self._session, str(self._request.url))

    @property
    def proxy(self) -> str | None:
        """Host and port of the proxy that requests go through, without its password."""
        proxy = select_proxy(str(self._request.url), self._settings["proxies"])
        return proxy.rpartition("//")[2].rpartition("@")[2].rstrip("/") if proxy else None

    def post(self, body: RequestBody, headers: dict[str, str]) -> Reply:
        """Send a request, and once more if the service rejects a token that can be renewed.

        :raises ServiceError: there is no valid token.
        :raises UnavailableError: there was no reply, or it was incomplete. LostReplyError: although all was sent.
        :raises ProtocolError: the reply is too large, or packed in another way than asked for.
        """
        authorization = self._credentials.authorization()
        reply = self._send(body, {**headers, "Authorization": authorization})
        if reply.status == 401 and (renewed := self._credentials.renew(authorization)):
            reply = self._send(body, {**headers, "Authorization": renewed})
        return reply

    def _send(self, body: RequestBody, headers: dict[str, str]) -> Reply:
        request: Any = self._request.copy()
        request.headers.update(headers, **{"Content-Length": str(len(body))})
        hide = self._credentials.hide
        with self._calls.call(str(request.url), sum(self._timeouts) + len(body) / MIN_UPLOAD_RATE) as call:
            waits_for = f"the reply of {request.url}, request id {headers.get('x-client-request-id')}"
            request.body = Outgoing(body, partial(self._calls.was_sent, call, waits_for, self._timeouts[1]))
            try:
                with self._session.send(
                    request, timeout=self._timeouts, allow_redirects=False, **self._settings
                ) as reply:
                    if reply.status_code < 200:
                        # Not the reply: that may follow, and must not become the next request's.
                        reply.raw.close()
                    payload = read_reply(reply)
                    reply_headers = CaseInsensitiveDict((name, hide(value)) for name, value in reply.headers.items())
                    if not call.over:
                        return Reply(reply.status_code, reply_headers, payload)
                    reason = call.over
            except (requests.RequestException, HTTPError, OSError, EOFError, zlib.error) as error:
                reason = call.over or hide(root_cause(error))
        # Raised here it has no context: the library's own errors quote the reply, which may contain the key.
        fault = fault_of(Level.REQUEST if call.was_sent else Level.CONNECTION)
        raise fault(f"no reply from {self._request.url}: {reason}")

    def abort(self) -> None:
        """End the requests in flight; each raises :class:`UnavailableError` in its own thread."""
        self._calls.abort()

    def close(self) -> None:
        self._session.close()
        self._calls.close()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A body that tells when it was sent as a whole. Before that, nobody can have billed it."""

    body: RequestBody
    was_sent: Callable[[], None]

    def __iter__(self) -> Iterator[bytes]:
        yield from self.body
        self.was_sent()


def environment_settings(session: requests.Session, url: str) -> dict[str, Any]:
    """Certificates and proxies that the environment names, but no proxy on the way to this machine itself."""
    settings = session.merge_environment_settings(url, {}, stream=True, verify=None, cert=None)
    if is_loopback(urlsplit(url).hostname or ""):
        settings["proxies"] = {}
    return dict(settings)


def read_reply(reply: requests.Response) -> bytes:
    """The body, bounded in bytes, whether it is compressed or not.

    :raises ProtocolError: it is too large, or packed in another way than asked for.
    """
    # Memory of its own: once freed, that of a huge reply would stay with the allocator, for every thread.
    with mmap(-1, MAX_REPLY_BYTES) as payload:
        unpack = Unpacker(reply.headers.get("Content-Encoding", "identity"))
        received = 0
        # Not iter_content: it waits for a whole chunk, so for ever if the reply drips.
        while chunk := reply.raw.read1(PIECE_BYTES, decode_content=False):
            received += len(chunk)
            for piece in unpack(chunk):
                if max(received, payload.tell() + len(piece)) > MAX_REPLY_BYTES:
                    reason = f"the reply is larger than {MAX_REPLY_BYTES:,} bytes"
                    raise ProtocolError(reason, http_status=reply.status_code)
                payload.write(piece)
        unpack.finish()
        return payload[: payload.tell()]


class Unpacker:
    """Unpacks a reply, a bounded piece at a time. Before 2.6 urllib3 does not bound them.

    :raises ProtocolError: an encoding that was not asked for.
    """

    def __init__(self, encoding: str) -> None:
        if encoding.lower() not in ("identity", "gzip", "x-gzip"):
            raise ProtocolError(f"the reply has the encoding {encoding}, which was not asked for")
        self._gzip = zlib.decompressobj(GZIP) if "gzip" in encoding.lower() else None
        self._complete = True

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        """The content of the next chunk."""
        if self._gzip is None:
            yield chunk
            return
        while chunk:
            yield self._gzip.decompress(chunk, PIECE_BYTES)
            chunk = self._gzip.unconsumed_tail
            self._complete = self._gzip.eof
            if self._gzip.eof:
                # A gzip file may have several members.
                chunk, self._gzip = self._gzip.unused_data, zlib.decompressobj(GZIP)

    def finish(self) -> None:
        """:raises EOFError: the reply ends early."""
        if not self._complete:
            raise EOFError("the compressed reply is truncated")


class WatchedAdapter(HTTPAdapter):
    """Its connections belong to the call of the thread that uses them."""

    def __init__(self, connections: int, calls: Calls) -> None:
        self._pools: weakref.WeakSet[Any] = weakref.WeakSet()
        self._calls = calls
        super().__init__(pool_connections=1, pool_maxsize=connections, pool_block=True)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if pool not in self._pools:
            pool.ConnectionCls = watched(pool.ConnectionCls, self._calls)
            self._pools.add(pool)
        return pool

    def close(self) -> None:
        """Close idle connections now. urllib3 keeps them until the last error that refers to their pool is gone."""
        for pool in list(self._pools):
            pool.close()
        super().close()


def root_cause(error: BaseException) -> str:
    """The innermost reason, without a proxy's password. Outer layers repeat URLs and object addresses."""
    inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
    reason = getattr(error, "reason", None)
    deeper = reason if isinstance(reason, BaseException) else inner or error.__cause__
    if deeper is not None:
        return root_cause(deeper)
    return NOISE.sub("", str(error)) or type(error).__name__
