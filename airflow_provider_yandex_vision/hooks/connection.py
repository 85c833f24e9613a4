"""The fields of an Airflow connection of type ``yandex_vision``, validated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_yandex_vision.hooks.base_url import read_base_url
from airflow_provider_yandex_vision.hooks.credentials import Mask, read_credentials
from airflow_provider_yandex_vision.vision.client import DEFAULT_HOST
from airflow_provider_yandex_vision.vision.credentials import Credentials
from airflow_provider_yandex_vision.vision.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_yandex_vision.compat import Connection


@dataclass(frozen=True)
class VisionConnection:
    """Arguments of :class:`~airflow_provider_yandex_vision.vision.client.VisionClient`."""

    credentials: Credentials
    host: str
    folder_id: str | None
    timeout: float

    @classmethod
    def read(cls, connection: Connection, mask: Mask) -> VisionConnection:
        """
        :param mask: masks a secret in logs; credentials call it whenever they get a new one.
        :raises ConfigurationError: a field is invalid; names it and the connection.
        """
        try:
            extra: Any = connection.extra_dejson
            if not isinstance(extra, dict):
                raise ConfigurationError("extra is not a JSON object")
            return cls(
                credentials=read_credentials(connection.password, extra, mask),
                host=read_base_url(
                    connection.host or "",
                    "host",
                    DEFAULT_HOST,
                    scheme=connection.schema or "https",
                    port=connection.port,
                ),
                folder_id=str(extra.get("folder_id") or "").strip() or None,
                timeout=_timeout(extra.get("timeout")),
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"connection {connection.conn_id!r}: {error.message}") from None


def _timeout(value: Any) -> float:
    try:
        seconds = float(60.0 if value in (None, "") else value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"timeout in extra must be a number of seconds greater than 0, not {value!r}")
    return seconds
