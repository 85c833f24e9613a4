"""Images at ``http://`` and ``https://`` URLs, which may come from strangers.

Not through fsspec, which reads a reply of any size, and resolves a host again after it was checked.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias
from urllib.parse import urljoin
from weakref import WeakSet

from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.util import Url, parse_url

from airflow_provider_yandex_vision.compat import conf
from airflow_provider_yandex_vision.vision.calls import Call, Calls, watched
from airflow_provider_yandex_vision.vision.errors import (
    GONE,
    ConfigurationError,
    ImageRejectedError,
    ImageUnreadableError,
)
from airflow_provider_yandex_vision.vision.models import Content, Image

PORTS = {"http": 80, "https": 443}
SECTION, OPTION = "yandex_vision", "allowed_networks"

MAX_REDIRECTS = 5
CONNECT_SECONDS = 10
SILENT_SECONDS = 30
MAX_SECONDS = 300
RETRY_SECONDS = (0.5, 2.0)
MAX_PIECE_BYTES = 64 * 1024
MAX_ETAG_LENGTH = 256

HEADERS = {
    "Accept": "image/*, */*;q=0.5",
    "Accept-Encoding": "identity",
    "User-Agent": "airflow-provider-yandex-vision",
}

GLOBAL_IPV6 = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")

Network: TypeAlias = "IPv4Network | IPv6Network"
Address: TypeAlias = "IPv4Address | IPv6Address"


class TemporaryError(ImageUnreadableError):
    """Another attempt may work within seconds."""


class Web:
    """Reads images without credentials, cookies or proxies, from public addresses only.

    Proxies of the environment are not used: which address they connect to cannot be checked. Safe to use from any
    thread.

    :param max_bytes: a larger image is rejected, and not read to its end.
    :param allowed: networks to read from although they are not public. By default those in Airflow's configuration,
        section ``yandex_vision``, option ``allowed_networks``.
    :param max_seconds: of an image as a whole, however slowly it trickles in.
    :raises ConfigurationError: that option is not a list of networks.
    """

    def __init__(
        self, max_bytes: int, allowed: tuple[Network, ...] | None = None, max_seconds: float = MAX_SECONDS
    ) -> None:
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._calls = Calls()
        self._allowed = configured_networks() if allowed is None else allowed
        self._watched: WeakSet[Any] = WeakSet()
        self._pools = PoolManager(num_pools=32, maxsize=32, ca_certs=os.environ.get("REQUESTS_CA_BUNDLE"))

    def image(self, url: str) -> Image:
        """The image at a URL. If it is missing, reading it raises an error."""
        return Image(url, lambda: self.read(url), None, self._etag(url))

    def read(self, url: str) -> Content:
        """The content, with its etag.

        :raises ImageRejectedError: it is larger than ``max_bytes``.
        :raises ImageUnreadableError: the server did not return it, or its address is not public.
        """
        with self._calls.call(url, self._max_seconds) as call:
            try:
                content = self._read_patiently(url, call)
            except ImageUnreadableError:
                if not call.over:
                    raise
            else:
                if not call.over:
                    return content
        raise ImageUnreadableError(f"reading took longer than {self._max_seconds:g} seconds", "TIMEOUT")

    def _read_patiently(self, url: str, call: Call) -> Content:
        for seconds in RETRY_SECONDS:
            try:
                return self._read(url)
            except TemporaryError:
                if call.over:
                    raise
                time.sleep(seconds)
        return self._read(url)

    def _etag(self, url: str) -> str | None:
        """Without it, the image is merely taken for a changed one."""
        try:
            with self._calls.call(url, CONNECT_SECONDS + SILENT_SECONDS):
                reply = self._request("HEAD", url)
                reply.drain_conn()  # there is nothing in it
        except Exception:  # reading it tells the reason
            return None
        return _etag_of(reply) if reply.status == 200 else None

    def _read(self, url: str) -> Content:
        reply = self._request("GET", url)
        try:
            _check_status(reply.status)
            length = reply.headers.get("Content-Length", "")
            self._check_size(int(length) if length.isdecimal() else 0)
            content = Content(b"".join(self._pieces(reply)))
        except (HTTPError, OSError) as error:
            raise TemporaryError(f"reading failed: {_reason(error)}") from error
        finally:
            reply.close()
        content.etag = _etag_of(reply)
        return content

    def _pieces(self, reply: BaseHTTPResponse) -> Iterator[bytes]:
        size = 0
        while piece := reply.read1(MAX_PIECE_BYTES, decode_content=False):
            size += len(piece)
            self._check_size(size)
            yield piece

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise ImageRejectedError(f"the file has more than {self._max_bytes:,} bytes", "TOO_LARGE")

    def _request(self, method: str, url: str) -> BaseHTTPResponse:
        """Follows redirects, each of which is checked like the first URL."""
        for _ in range(MAX_REDIRECTS + 1):
            reply = self._send(method, _parse(url))
            location = reply.get_redirect_location()
            if not location:
                return reply
            reply.close()
            url = _join(url, location)
        raise ImageUnreadableError(f"more than {MAX_REDIRECTS} redirects", "REDIRECTS")

    def _send(self, method: str, url: Url) -> BaseHTTPResponse:
        scheme, host = str(url.scheme), str(url.host).strip("[]")
        port = url.port or PORTS[scheme]
        failure: Exception | None = None
        for address in self._addresses(host, port):
            # Connects to the address that was checked: the host may have another one by now.
            names = {"server_hostname": host, "assert_hostname": host} if scheme == "https" else {}
            pool: Any = self._pools.connection_from_host(address, port, scheme, pool_kwargs=names)
            if pool not in self._watched:
                pool.ConnectionCls = watched(pool.ConnectionCls, self._calls)
                self._watched.add(pool)
            try:
                reply: BaseHTTPResponse = pool.urlopen(
                    method,
                    url.request_uri,
                    headers={**HEADERS, "Host": str(url.netloc)},
                    timeout=Timeout(connect=CONNECT_SECONDS, read=SILENT_SECONDS),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
                return reply
            except (HTTPError, OSError) as error:
                failure = error
        # An idle connection may have been closed just now.
        kind = TemporaryError if isinstance(failure, ProtocolError) else ImageUnreadableError
        raise kind(f"no reply from {host}: {_reason(failure)}") from failure

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ImageUnreadableError(f"cannot resolve {host}: {_reason(error)}") from error
        except ValueError as error:
            raise ImageUnreadableError(f"{host} is not a valid host name", "INVALID_URL") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        public = [address for address in addresses if self._is_allowed(ip_address(address))]
        if not public:
            hint = f"[{SECTION}] {OPTION} in Airflow's configuration allows private networks"
            raise ImageUnreadableError(f"{host} has no public address; {hint}", "PRIVATE_ADDRESS")
        return public

    def _is_allowed(self, address: Address) -> bool:
        real = embedded_ipv4(address) or address
        return is_public(real) or any(real in network for network in self._allowed)


def configured_networks() -> tuple[Network, ...]:
    """:raises ConfigurationError: Airflow's configuration has something else there."""
    text: str = conf.get(SECTION, OPTION, fallback="")
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigurationError(f"[{SECTION}] {OPTION} must be networks such as 10.0.0.0/8: {error}") from None


def is_public(address: Address) -> bool:
    """Whether anybody on the internet can reach it."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_IPV6:
        return False
    return address.is_global and not address.is_multicast


def embedded_ipv4(address: Address) -> IPv4Address | None:
    """The IPv4 address that packets to an IPv6 address end up at, if they do."""
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _parse(text: str) -> Url:
    try:
        url = parse_url(text)
    except ValueError as error:
        raise ImageUnreadableError("not a valid URL", "INVALID_URL") from error
    if url.scheme not in PORTS or not url.host:
        raise ImageUnreadableError("not an http:// or https:// URL", "INVALID_URL")
    return url


def _join(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise ImageUnreadableError("redirected to an invalid URL", "INVALID_URL") from error


def _check_status(status: int) -> None:
    if status == 200:
        return
    message = f"the server answered HTTP {status}"
    if status == 429 or status >= 500:
        raise TemporaryError(message)
    raise ImageUnreadableError(message, GONE if status in (404, 410) else "UNREADABLE")


def _etag_of(reply: BaseHTTPResponse) -> str | None:
    etag = reply.headers.get("ETag", "").removeprefix("W/").strip('"')
    version = etag or reply.headers.get("Last-Modified", "")
    return version if version.isprintable() and 0 < len(version) <= MAX_ETAG_LENGTH else None


def _reason(error: BaseException | None) -> str:
    """The innermost reason. Outer layers quote addresses of objects."""
    while error is not None and (deeper := error.__cause__ or error.__context__):
        error = deeper
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
    return text or type(error).__name__
