"""A directory in object storage that files are written to."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from airflow_provider_yandex_vision.images.http import Web
from airflow_provider_yandex_vision.images.location import SCHEME, Location, Url
from airflow_provider_yandex_vision.images.storage import BACKENDS, Storages
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, OutputError

_WRONG = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
"""What another attempt meets again."""


class Output:
    """
    :param url: of the directory, ``s3://conn@bucket/reports/`` or ``file:///reports/``. It need not exist yet.
    :raises ConfigurationError: not such a URL, the connection does not exist, or the backend is not installed.
    """

    def __init__(self, url: str) -> None:
        if not re.match(rf"{SCHEME}|/", url):
            raise ConfigurationError(f"output must be the URL of a directory, such as file:///reports/, not {url!r}")
        self._location = Location.open(Url(url, is_key=True), Storages())
        if isinstance(self._location.fs, Web):
            raise ConfigurationError(f"output cannot be written: nothing can be stored at {url}")
        self._folder = self._location.path.rstrip("/")

    def address(self, name: str) -> str:
        """URL of a file in it, without connection id."""
        return f"{self._location.protocol}://{self._folder}/{name}"

    def put(self, file: Path) -> str:
        """Write a file of that name, over the one that may be there. :return: its address.

        :raises ConfigurationError: the directory cannot be written to.
        :raises OutputError: the storage failed; another attempt may work.
        """
        fs = self._location.fs
        try:
            if self._location.protocol not in BACKENDS:  # in those, a directory is nothing but a name
                fs.makedirs(self._folder, exist_ok=True)
            fs.put_file(str(file), f"{self._folder}/{file.name}")
        except Exception as error:
            kind = ConfigurationError if isinstance(error, _WRONG) else OutputError
            reason = f"{type(error).__name__}: {error}"
            raise kind(f"output cannot be written: {self.address(file.name)}: {reason}") from error
        return self.address(file.name)

    def link(self, name: str, base_url: str | None, expires: timedelta) -> str:
        """URL of a file for a browser: below ``base_url``, else signed if the storage can, else its address."""
        if base_url:
            return f"{base_url.rstrip('/')}/{quote(f'{self._path_in_store}/{name}'.lstrip('/'))}"
        try:
            signed: str = self._location.fs.sign(f"{self._folder}/{name}", expiration=int(expires.total_seconds()))
        except Exception:  # a storage or credentials that cannot sign
            return self.address(name)
        return signed

    @property
    def _path_in_store(self) -> str:
        """Without the bucket, in which a browser's path begins."""
        is_bucket = self._location.protocol in BACKENDS
        return self._folder.partition("/")[2] if is_bucket else self._folder
