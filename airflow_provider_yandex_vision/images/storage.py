"""Where pictures are: a URL opened through an Airflow connection, listed and read with fsspec."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, ObjectStoragePath

from airflow_provider_yandex_vision.images.files import File, files_below, files_like
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ImageUnreadableError, NoImagesError
from airflow_provider_yandex_vision.vision.models import Content, Image

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png")

READS_OF_A_CHANGING_OBJECT = 3

EXTRAS = {"s3": "amazon", "s3a": "amazon", "gs": "google", "gcs": "google"}


@dataclass(frozen=True, slots=True)
class Location:
    """One URL of the user's: an object, a directory or a pattern.

    :param path: as fsspec takes it, without protocol and connection id; never parsed as a URL, since
        ``#``, ``?`` and ``%`` are ordinary letters of an object's key.
    """

    url: str
    protocol: str
    path: str
    fs: Any

    @classmethod
    def open(cls, url: str, conn_id: str | None = None) -> Location:
        """Resolve the connection and the backend; nothing is listed yet.

        :param conn_id: connection for URLs that name none themselves (``s3://conn@bucket/…`` does).
        :raises ConfigurationError: no such connection, or no backend for the scheme.
        """
        match = re.fullmatch(r"(?s)(?:([A-Za-z][A-Za-z0-9+.-]*)://(?:([^@/]+)@)?)?(.*)", url)
        assert match is not None
        protocol = (match[1] or "file").lower()
        connection = match[2] or conn_id if protocol != "file" else None
        fs = _filesystem(protocol, connection)
        return cls(url, protocol, fs._strip_protocol(f"{protocol}://{match[3]}"), fs)

    @property
    def is_pattern(self) -> bool:
        return "*" in self.path

    @property
    def names_many(self) -> bool:
        """Whether the URL alone says that it stands for more than one object."""
        return self.is_pattern or self.url.endswith("/")

    def list(self) -> Iterator[Image]:
        """The pictures that the URL stands for: what a pattern or an object names is taken as it is, of a
        directory the files whose ending says JPEG or PNG.

        One listing, without a look at each object.

        :raises NoImagesError: there are none: a typo must not look like success.
        :raises ConfigurationError: the storage does not allow to list them.
        """
        self.fs.invalidate_cache()
        files = self._matches() if self.is_pattern else self._object_or_directory()
        try:
            first = list(islice(files, 1))
        except FileNotFoundError as error:
            raise NoImagesError(f"{self.url} has no pictures: {error}") from None
        except PermissionError as error:
            raise ConfigurationError(f"{self.url} may not be listed: {error}") from None
        if not first:
            raise NoImagesError(f"{self.url} has no pictures: {self._expectation()}")
        return (self._image(file) for file in chain(first, files))

    def object(self) -> Image:
        """The one object of this URL, even if it is gone: then reading it says so."""
        try:
            info = self.fs.info(self.path)
        except FileNotFoundError:
            info = {}
        return self._image(File.of(self.path, info))

    def _matches(self) -> Iterator[File]:
        return files_like(self.fs, self.path)

    def _object_or_directory(self) -> Iterator[File]:
        for file in files_below(self.fs, self.path):
            if file.name == self.path or file.name.lower().endswith(PICTURE_ENDINGS):
                yield file

    def _expectation(self) -> str:
        if self.is_pattern:
            return "nothing matches the pattern"
        return f"there is no such object, and no file below it that ends in {', '.join(PICTURE_ENDINGS)}"

    def _image(self, file: File) -> Image:
        return Image(f"{self.protocol}://{file.name}", partial(_read, self.fs, file), file.size, file.etag)


def _read(fs: Any, file: File) -> bytes:
    """The object's bytes; with the version that they are of, where that is not the listed one any more."""
    content: bytes = fs.cat_file(file.name)
    for _ in range(READS_OF_A_CHANGING_OBJECT):
        if _is_version(content, fs, file):
            return content
        file = File.of(file.name, fs.info(file.name, refresh=True) if _is_remote(fs) else fs.info(file.name))
        content = Content(fs.cat_file(file.name))
        content.etag = file.etag
    raise ImageUnreadableError("the object changes while it is read", "CHANGING")


def _is_version(content: bytes, fs: Any, file: File) -> bool:
    """Whether the bytes are those of the listed version, as far as can be told without asking a store again:
    by size, and by the etag where it is a digest of the content, as it is in S3 for objects put in one piece."""
    if file.size is None or len(content) != file.size:
        return False
    if not _is_remote(fs):
        return File.of(file.name, fs.info(file.name)).etag == file.etag
    if file.etag is None or not re.fullmatch("[0-9a-f]{32}", file.etag):
        return True
    return hashlib.md5(content, usedforsecurity=False).hexdigest() == file.etag


def _is_remote(fs: Any) -> bool:
    return "file" not in fs.protocol


def _filesystem(protocol: str, conn_id: str | None) -> Any:
    try:
        if conn_id is not None:
            # Some backends go on without credentials where the connection does not exist.
            BaseHook.get_connection(conn_id)
        return ObjectStoragePath(f"{protocol}:///", conn_id=conn_id).fs
    except AirflowNotFoundException:
        raise ConfigurationError(f"there is no connection {conn_id!r} to open {protocol}:// with") from None
    except (ImportError, ValueError) as error:
        extra = EXTRAS.get(protocol)
        hint = f": pip install 'airflow-provider-yandex-vision[{extra}]'" if extra else ""
        raise ConfigurationError(f"cannot open {protocol}:// URLs, its backend is not installed{hint}") from error
