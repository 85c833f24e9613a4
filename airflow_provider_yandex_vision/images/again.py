"""Pictures of earlier searches, read again for a report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from airflow_provider_yandex_vision.images.files import File
from airflow_provider_yandex_vision.images.http import Web
from airflow_provider_yandex_vision.images.location import Location, Url
from airflow_provider_yandex_vision.images.reading import read_file
from airflow_provider_yandex_vision.images.storage import Storages
from airflow_provider_yandex_vision.vision.errors import ConfigurationError

MAX_BYTES = 32 * 1024 * 1024
"""A larger file is not read."""


class StoredPictures:
    """Opens each storage once, by the connection that the picture was read with."""

    def __init__(self) -> None:
        self._storages: dict[str | None, Storages] = {}
        self._broken: dict[tuple[str, str | None], ConfigurationError] = {}

    def open(self, uri: str, conn_id: str | None) -> Callable[[], bytes]:
        """What reads the picture, in any thread. Airflow's connections are resolved here.

        :raises ConfigurationError: the connection does not exist, or the backend is not installed.
        """
        storage = (uri.partition("://")[0], conn_id)
        if storage in self._broken:
            raise self._broken[storage]
        storages = self._storages.setdefault(conn_id, Storages(conn_id, MAX_BYTES))
        try:
            location = Location.open(Url(uri, is_key=True), storages)
        except ConfigurationError as error:
            self._broken[storage] = error
            raise
        if isinstance(location.fs, Web):
            return partial(location.fs.read, location.url)
        return partial(read_file, location.fs, File(location.path, None, None), MAX_BYTES)
