"""One URL: an object, a directory or a glob, in a storage that is open."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from airflow_provider_yandex_vision.images.files import File, files_below, files_matching, find_file
from airflow_provider_yandex_vision.images.http import Web
from airflow_provider_yandex_vision.images.ignored import Ignored
from airflow_provider_yandex_vision.images.reading import read_file
from airflow_provider_yandex_vision.images.storage import ALIASES, Storages
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from airflow_provider_yandex_vision.vision.models import Image

SCHEME = "[A-Za-z][A-Za-z0-9+.-]*://"


@dataclass(frozen=True, slots=True)
class Url:
    """One element of the ``images`` argument.

    :param is_key: it comes from a listing: it is one object, and ``*`` an ordinary character.
    """

    text: str
    is_key: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """
    :param path: as fsspec takes it, without protocol and connection id. Never parsed as a URL, since ``#``, ``?`` and
        ``%`` are ordinary characters in an object's key.
    :param is_directory: whether the URL says so, by a slash at its end.
    :param max_bytes: read no more of an image.
    :param conn_id: connection that ``fs`` was opened with.
    """

    url: str
    protocol: str
    path: str
    fs: Any
    is_glob: bool = False
    is_directory: bool = False
    is_key: bool = False
    max_bytes: int = 0
    conn_id: str | None = None

    @classmethod
    def open(cls, url: Url, storages: Storages) -> Location:
        """Resolve the connection and the backend, without listing anything.

        :raises ConfigurationError: the connection does not exist, the backend is not installed, or not a URL.
        """
        match = re.fullmatch(rf"(?s)({SCHEME})(?:([^@/]+)@)?(.*)", _absolute(url.text, storages))
        assert match is not None
        protocol, conn_id, path = match[1][:-3].lower(), match[2], match[3]
        is_glob = "*" in path and not url.is_key
        if protocol in ("http", "https"):
            path = path.partition("#")[0]
            _check_web(protocol, conn_id, path, is_glob)
            return cls(f"{protocol}://{path}", protocol, path, storages.web)
        _check_path(url.text, protocol, path)
        conn_id = storages.conn_id(protocol, conn_id)
        fs = storages.filesystem(protocol, conn_id)
        return cls(
            url=url.text,
            protocol=protocol,
            path=fs._strip_protocol(f"{ALIASES.get(protocol, protocol)}://{path}"),
            fs=fs,
            is_glob=is_glob,
            is_directory=path.endswith("/") and not is_glob,
            is_key=url.is_key,
            max_bytes=storages.max_bytes,
            conn_id=conn_id,
        )

    @property
    def names_many(self) -> bool:
        """Whether the URL alone shows that it is not a single object."""
        return self.is_glob or self.is_directory

    def list(self, endings: tuple[str, ...], ignored: Ignored) -> Iterator[Image]:
        """Files that match a glob, the object of that name, or a directory's files with these endings.

        :raises ConfigurationError: there are none, so that a typo does not look like success, or access is denied.
        """
        if isinstance(self.fs, Web):
            return iter([self.fs.image(self.url)])
        self.fs.invalidate_cache()
        elsewhere = ignored.count
        file, denied = self._find()
        if file:
            return iter([self._image(file)])
        try:
            files = self._matching() if self.is_glob else self._below(endings, ignored)
            first = next(files, None)
        except FileNotFoundError as error:
            raise ConfigurationError(f"no images at {self.url}: {error.strerror or error}") from None
        except PermissionError as error:
            raise ConfigurationError(f"permission denied to list {self.url}: {error}") from None
        if first is None and denied:
            raise ConfigurationError(f"permission denied to read {self.url}: {denied}")
        if first is None:
            expected = "match the pattern" if self.is_glob else f"end in {', '.join(endings)}"
            others = f", but {ignored}" if ignored.count and not elsewhere else ""
            raise ConfigurationError(f"no images at {self.url}: there are no files that {expected}{others}")
        return map(self._image, chain([first], files))

    def look_up(self, endings: tuple[str, ...], ignored: Ignored) -> Iterable[Image]:
        """The object, or a directory's files. Whatever else is there, reading it tells what is wrong."""
        if isinstance(self.fs, Web):
            return [self.fs.image(self.url)]
        unknown = [self._image(File(self.path, None, None))]
        try:
            file = find_file(self.fs, self.path)
            if file or self.is_key:
                return [self._image(file)] if file else unknown
            files = self._below(endings, ignored)
            first = next(files, None)
        except Exception:  # it costs this image only
            return unknown
        return map(self._image, chain([first], files)) if first else unknown

    def _find(self) -> tuple[File | None, PermissionError | None]:
        """The object of that name, if it may be one. Without permission there may still be a directory."""
        try:
            return (None if self.names_many else find_file(self.fs, self.path)), None
        except PermissionError as error:
            return None, error

    def _matching(self) -> Iterator[File]:
        try:
            yield from files_matching(self.fs, self.path)
        except ValueError as error:
            raise ConfigurationError(f"{self.url} is not a valid pattern: {error}") from None

    def _below(self, endings: tuple[str, ...], ignored: Ignored) -> Iterator[File]:
        for file in files_below(self.fs, self.path) if not self.is_key else ():
            if file.name == self.path or file.name.lower().endswith(endings):
                yield file
            else:
                ignored.add(file.name)

    def _image(self, file: File) -> Image:
        read = partial(read_file, self.fs, file, self.max_bytes)
        return Image(f"{self.protocol}://{file.name}", read, file.size, file.etag, self.conn_id)


def check_stores(locations: Iterable[Location]) -> None:
    """:raises ConfigurationError: two stores have the same names, so that their images would be taken for the same."""
    first_in: dict[tuple[str, str], Location] = {}
    for location in locations:
        place = (location.protocol, location.path.lstrip("/").partition("/")[0])
        first = first_in.setdefault(place, location)
        if first.fs is not location.fs:
            raise ConfigurationError(
                f"{first.url} and {location.url} are read through different connections, but their images have the "
                "same URIs: search them in two tasks with a table each"
            )


def _absolute(text: str, storages: Storages) -> str:
    if re.match(SCHEME, text):
        return text
    if text.startswith("/"):
        return f"file://{text}"
    if storages.bucket:
        return storages.bucket + text
    raise ConfigurationError(
        f"{text!r} is not a URL; for keys of a bucket, write images={{'s3://bucket/': keys}}, or set "
        "service_config.s3.bucket_name in the extra of object_storage_conn_id"
    )


def _check_path(url: str, protocol: str, path: str) -> None:
    """fsspec takes nothing for everything, and a relative path for one below the working directory."""
    if not path.strip("/"):
        raise ConfigurationError(f"{url!r} names nothing: is a template in it empty?")
    if protocol == "file" and not path.startswith("/"):
        raise ConfigurationError(f"{url!r} is not absolute: write file:///{path}")


def _check_web(protocol: str, user: str | None, path: str, is_glob: bool) -> None:
    if user is not None:
        raise ConfigurationError(f"{protocol}:// URLs take no connection, user or password")
    page = path.partition("?")[0]
    if is_glob or page.endswith("/") or "/" not in page:
        raise ConfigurationError(f"nothing can be listed over {protocol}: name each image, not {protocol}://{path}")
