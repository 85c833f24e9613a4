"""An Airflow connection of type ``yandex_vision`` made into the arguments of a client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_yandex_vision.vision.client import DEFAULT_HOST
from airflow_provider_yandex_vision.vision.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True)
class VisionConnection:
    """The fields of a connection, checked.

    :raises ConfigurationError: by :meth:`read`; it names the connection and the field.
    """

    api_key: str = field(repr=False)
    host: str
    folder_id: str | None
    timeout: float

    @classmethod
    def read(cls, connection: Connection) -> VisionConnection:
        where = f"Connection {connection.conn_id!r}"
        extra: Any = connection.extra_dejson
        if not isinstance(extra, dict):
            raise ConfigurationError(f"{where} has an extra that is not a JSON object")
        return cls(
            api_key=_api_key(connection.password, where),
            host=_base_url(connection, where),
            folder_id=str(extra["folder_id"]).strip() or None if extra.get("folder_id") else None,
            timeout=_timeout(extra.get("timeout"), where),
        )

    @property
    def sends_key_in_clear(self) -> bool:
        url = urlsplit(self.host)
        return url.scheme == "http" and url.hostname not in LOOPBACK


def _api_key(password: str | None, where: str) -> str:
    key = (password or "").strip()
    if not key:
        raise ConfigurationError(f"{where} has no API key: put it into the password field")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(f"{where} has an API key with characters that no key has: copy it again")
    return key


def _base_url(connection: Connection, where: str) -> str:
    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_HOST
    scheme, _, address = host.rpartition("://")
    if set("@?#") & set(address) or not host.isprintable():
        raise ConfigurationError(f"{where} has a host that is more than scheme, name, port and path")
    if address.count(":") > 1 and "[" not in address:
        address = f"[{address}]"  # Airflow drops an IPv6 address's brackets when it reads a URI
    try:
        parts = urlsplit(f"{scheme or connection.schema or 'https'}://{address}")
        port = parts.port or connection.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or set(parts.hostname) & set(' "<>\\^`{|}'):
        raise ConfigurationError(f"{where} has host {host!r}, which is not a URL such as {DEFAULT_HOST}")
    if port and not 0 < port < 65536:
        raise ConfigurationError(f"{where} has port {port}: 1 to 65535 is needed")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _timeout(value: Any, where: str) -> float:
    if value in (None, ""):
        return 60.0
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"{where} has timeout {value!r} in its extra: a number of seconds above 0 is needed")
    return seconds
