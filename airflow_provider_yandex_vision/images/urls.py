"""The ``images`` argument: URLs, opened through Airflow connections and listed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, ObjectStoragePath

from airflow_provider_yandex_vision.images.files import File, files_below, files_matching, read_file
from airflow_provider_yandex_vision.search.spill import SpillDict
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from airflow_provider_yandex_vision.vision.models import Image

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
PARALLEL_LOOKUPS = 16
LOOKUPS_AHEAD = 256
EXTRAS = {"s3": "amazon", "s3a": "amazon", "gs": "google", "gcs": "google"}


def list_images(images: Any, conn_id: str | None = None) -> Iterator[Image]:
    """Images by URL, glob, directory URL, or any nesting of lists of these; each URI once.

    Before this returns, connections are resolved, and globs and directories listed. Single objects of a list are
    looked up as the stream is consumed; a missing one raises an error when it is read.

    :param conn_id: connection for URLs that do not name one.
    :raises ConfigurationError: nothing to search, an unknown connection, a missing backend, or not a URL.
    """
    locations = [Location.open(url, conn_id) for url in urls_of(images)]
    if not locations:
        raise ConfigurationError("images is empty: there is nothing to search")
    if len(locations) == 1:
        return locations[0].list()
    listed = [location.list() for location in locations if location.names_many]
    objects = (location for location in locations if not location.names_many)
    return _unique(chain(*listed, _look_up(objects)))


def urls_of(images: Any) -> list[str]:
    """The URLs in the ``images`` argument.

    :raises ConfigurationError: it has an unsupported type.
    """
    if isinstance(images, str):
        return _rendered_list(images) if images.lstrip().startswith("[") else [images] if images.strip() else []
    if hasattr(images, "fs"):  # an ObjectStoragePath
        return [str(images)]
    if isinstance(images, Iterable) and not isinstance(images, (bytes, dict)):
        return [url for item in images for url in urls_of(item)]
    raise ConfigurationError(f"images must be a URL or a list of URLs, not {type(images).__name__}")


@dataclass(frozen=True, slots=True)
class Location:
    """One URL: an object, a directory or a glob.

    :param path: as fsspec takes it, without protocol and connection id. Never parsed as a URL, since ``#``, ``?`` and
        ``%`` are ordinary characters in an object's key.
    """

    url: str
    protocol: str
    path: str
    fs: Any

    @classmethod
    def open(cls, url: str, conn_id: str | None = None) -> Location:
        """Resolve the connection and the backend, without listing anything.

        :param conn_id: connection for a URL that does not name one (``s3://conn@bucket/…`` does).
        :raises ConfigurationError: the connection does not exist, or the backend is not installed.
        """
        match = re.fullmatch(r"(?s)(?:([A-Za-z][A-Za-z0-9+.-]*)://(?:([^@/]+)@)?)?(.*)", url)
        assert match is not None
        protocol = (match[1] or "file").lower()
        fs = _filesystem(protocol, None if protocol == "file" else match[2] or conn_id)
        return cls(url, protocol, fs._strip_protocol(f"{protocol}://{match[3]}"), fs)

    @property
    def is_glob(self) -> bool:
        return "*" in self.path

    @property
    def names_many(self) -> bool:
        """Whether the URL alone shows that it is not a single object."""
        return self.is_glob or self.url.endswith("/")

    def list(self) -> Iterator[Image]:
        """Files that match a glob, the object of that name, or a directory's JPEG and PNG files, with one listing.

        :raises ConfigurationError: there are none, so that a typo does not look like success, or access is denied.
        """
        self.fs.invalidate_cache()
        files = self._files()
        try:
            first = next(files, None)
        except FileNotFoundError as error:
            raise ConfigurationError(f"no images at {self.url}: {error}") from None
        except PermissionError as error:
            raise ConfigurationError(f"permission denied to list {self.url}: {error}") from None
        if first is None:
            expected = "match the pattern" if self.is_glob else f"end in {', '.join(IMAGE_ENDINGS)}"
            raise ConfigurationError(f"no images at {self.url}: there are no files that {expected}")
        return map(self._image, chain([first], files))

    def object(self) -> Image:
        """The object at this URL. If it is missing, reading it raises an error."""
        try:
            info = self.fs.info(self.path)
        except FileNotFoundError:
            info = {}
        return self._image(File.of(self.path, info))

    def _files(self) -> Iterator[File]:
        if self.is_glob:
            return files_matching(self.fs, self.path)
        files = files_below(self.fs, self.path)
        return (file for file in files if file.name == self.path or file.name.lower().endswith(IMAGE_ENDINGS))

    def _image(self, file: File) -> Image:
        return Image(f"{self.protocol}://{file.name}", partial(read_file, self.fs, file), file.size, file.etag)


def _filesystem(protocol: str, conn_id: str | None) -> Any:
    try:
        if conn_id is not None:
            # If the connection does not exist, some backends continue without credentials.
            BaseHook.get_connection(conn_id)
        return ObjectStoragePath(f"{protocol}:///", conn_id=conn_id).fs
    except AirflowNotFoundException:
        raise ConfigurationError(f"connection {conn_id!r} does not exist; {protocol}:// URLs need it") from None
    except (ImportError, ValueError) as error:
        hint = f": pip install 'airflow-provider-yandex-vision[{EXTRAS[protocol]}]'" if protocol in EXTRAS else ""
        raise ConfigurationError(f"the backend for {protocol}:// URLs is not installed{hint}") from error


def _rendered_list(text: str) -> list[str]:
    """A list that a template such as ``{{ ti.xcom_pull(…) }}`` rendered as text."""
    try:
        urls = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return [text]
    return urls_of(urls)


def _look_up(locations: Iterator[Location]) -> Iterator[Image]:
    with ThreadPoolExecutor(PARALLEL_LOOKUPS, thread_name_prefix="vision-stat") as pool:
        while ahead := list(islice(locations, LOOKUPS_AHEAD)):
            yield from pool.map(Location.object, ahead)


def _unique(images: Iterable[Image]) -> Iterator[Image]:
    with closing(SpillDict()) as seen:
        yield from (image for image in images if seen.add(image.uri))
