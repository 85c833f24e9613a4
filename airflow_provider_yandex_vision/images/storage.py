"""The storages behind URLs, opened through Airflow connections."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import Any

from airflow_provider_yandex_vision.compat import AirflowNotFoundException, BaseHook, attach
from airflow_provider_yandex_vision.images.http import Web
from airflow_provider_yandex_vision.search import defaults
from airflow_provider_yandex_vision.vision.errors import ConfigurationError

S3, GCS, AZURE = ("amazon", "s3fs"), ("google", "gcsfs"), ("azure", "adlfs")
BACKENDS = {
    **dict.fromkeys(("s3", "s3a", "s3n"), S3),
    **dict.fromkeys(("gs", "gcs"), GCS),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), AZURE),
}
"""Extra of this package and library that open a scheme."""

ALIASES = {"az": "abfs", "abfss": "abfs", "adl": "abfs"}
"""Airflow does not register ``az``, and adlfs takes no path with the last one."""


class Storages:
    """The storages of one listing. Each is opened once, however many URLs need it.

    :param conn_id: connection for URLs that do not name one.
    :param max_bytes: read no more of an image.
    """

    def __init__(self, conn_id: str | None = None, max_bytes: int = defaults.MAX_IMAGE_BYTES) -> None:
        self._conn_id = conn_id
        self.max_bytes = max_bytes
        self._opened: dict[tuple[str, str | None], Any] = {}

    def conn_id(self, scheme: str, conn_id: str | None) -> str | None:
        """The connection for a URL that names this one, or none. Local files need none."""
        return None if scheme == "file" else conn_id or self._conn_id

    def filesystem(self, scheme: str, conn_id: str | None) -> Any:
        """:raises ConfigurationError: the connection does not exist, or the backend is not installed."""
        protocol = ALIASES.get(scheme, scheme)
        key = (protocol, self.conn_id(scheme, conn_id))
        if key not in self._opened:
            self._opened[key] = _open(scheme, *key)
        return self._opened[key]

    @cached_property
    def web(self) -> Web:
        return Web(self.max_bytes)

    @cached_property
    def bucket(self) -> str | None:
        """URL of the bucket that the connection names, as Airflow's S3Hook understands it."""
        if self._conn_id is None:
            return None
        value = _connection("s3", self._conn_id).extra_dejson
        for name in ("service_config", "s3", "bucket_name"):
            value = value.get(name) if isinstance(value, dict) else None
        return f"s3://{value}/" if value else None


def _open(scheme: str, protocol: str, conn_id: str | None) -> Any:
    if conn_id is not None:
        # If the connection does not exist, some backends continue without credentials.
        _connection(scheme, conn_id)
    try:
        return attach(protocol, conn_id).fs
    except (ImportError, ValueError) as error:
        extra, library = BACKENDS.get(scheme, ("", ""))
        unknown = "No filesystem registered" in str(error)
        if extra and (unknown or find_spec(library) is None):
            hint = f"pip install 'airflow-provider-yandex-vision[{extra}]'"
            raise ConfigurationError(f"the backend for {scheme}:// URLs is not installed: {hint}") from error
        if unknown:
            raise ConfigurationError(f"no installed Airflow provider opens {scheme}:// URLs") from error
        raise ConfigurationError(f"cannot open {scheme}:// URLs: {type(error).__name__}: {error}") from error


def _connection(scheme: str, conn_id: str) -> Any:
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(f"connection {conn_id!r} does not exist; {scheme}:// URLs need it") from None
