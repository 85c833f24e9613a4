"""The fields of an Airflow connection of type ``yandex_vision``, validated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from airflow_provider_yandex_vision.vision.client import DEFAULT_HOST
from airflow_provider_yandex_vision.vision.credentials import ApiKey
from airflow_provider_yandex_vision.vision.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

LOOPBACK = {"127.0.0.1", "[::1]", "localhost"}


@dataclass(frozen=True)
class VisionConnection:
    """Arguments of :class:`~airflow_provider_yandex_vision.vision.client.VisionClient`."""

    credentials: ApiKey
    host: str
    folder_id: str | None
    timeout: float

    @classmethod
    def read(cls, connection: Connection) -> VisionConnection:
        """:raises ConfigurationError: a field is invalid; names it and the connection."""
        try:
            extra: Any = connection.extra_dejson
            if not isinstance(extra, dict):
                raise ConfigurationError("extra is not a JSON object")
            return cls(
                credentials=ApiKey((connection.password or "").strip()),
                host=_base_url(connection),
                folder_id=str(extra.get("folder_id") or "").strip() or None,
                timeout=_timeout(extra.get("timeout")),
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"connection {connection.conn_id!r}: {error.message}") from None

    @property
    def sends_key_in_clear(self) -> bool:
        url = parse_url(self.host)
        return url.scheme == "http" and url.host not in LOOPBACK


def _base_url(connection: Connection) -> str:
    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_HOST
    scheme, _, address = host.rpartition("://")
    if set("@?#") & set(address) or not host.isprintable():
        raise ConfigurationError("host may have a scheme, a name, a port and a path, but nothing else")
    if address.count(":") > 1 and "[" not in address:
        address = f"[{address}]"  # Airflow drops the brackets of an IPv6 address when it reads a URI
    try:
        url = parse_url(f"{scheme or connection.schema or 'https'}://{address}")
    except LocationParseError:
        url = parse_url("")
    if url.scheme not in ("http", "https") or not re.fullmatch(r"[\w.-]+|\[[\w.:%]+\]", url.host or ""):
        raise ConfigurationError(f"host {host!r} is not a URL such as {DEFAULT_HOST}")
    port = url.port or connection.port or None
    if port and not 0 < port < 65536:
        raise ConfigurationError(f"port must be from 1 to 65535, not {port}")
    return url._replace(port=port, path=(url.path or "").rstrip("/")).url


def _timeout(value: Any) -> float:
    try:
        seconds = float(60.0 if value in (None, "") else value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"timeout in extra must be a number of seconds greater than 0, not {value!r}")
    return seconds
