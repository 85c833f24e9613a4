"""The ``images`` argument: URLs, opened through Airflow connections and listed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from logging import getLogger
from queue import SimpleQueue
from typing import Any

from airflow_provider_yandex_vision.images.files import File, files_below, files_matching, read_file
from airflow_provider_yandex_vision.images.http import Web
from airflow_provider_yandex_vision.images.ignored import CONVERTED_ENDINGS, IMAGE_ENDINGS, Ignored
from airflow_provider_yandex_vision.images.storage import ALIASES, Storages
from airflow_provider_yandex_vision.search import defaults
from airflow_provider_yandex_vision.search.prepare import MAX_CONVERTED_BYTES
from airflow_provider_yandex_vision.search.spill import SpillDict
from airflow_provider_yandex_vision.search.workers import Workers
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from airflow_provider_yandex_vision.vision.models import Image

log = getLogger(__name__)

SCHEME = "[A-Za-z][A-Za-z0-9+.-]*://"
PARALLEL_LOOKUPS = 16
LOOKUPS_AHEAD = 256


@dataclass(frozen=True, slots=True)
class Url:
    """One element of the ``images`` argument.

    :param is_key: it comes from a listing, so that ``*`` is an ordinary character.
    """

    text: str
    is_key: bool = False


def list_images(
    images: Any,
    conn_id: str | None = None,
    *,
    convert: bool = False,
    max_image_bytes: int = defaults.MAX_IMAGE_BYTES,
    ignored: Ignored | None = None,
) -> Iterator[Image]:
    """Images by URL, glob, directory URL, or any nesting of lists of these; each URI once.

    Before this returns, connections are resolved, and globs and directories listed. Single objects of a list are
    looked up as the stream is consumed; a missing one raises an error when it is read.

    :param images: also a mapping of base URLs to keys: ``{"s3://bucket/": ["a.jpg"]}``.
    :param conn_id: connection for URLs that do not name one.
    :param convert: list a directory's WebP, TIFF, BMP and GIF files as well as JPEG and PNG.
    :param max_image_bytes: read no more than this of an image on the web, unless it is to be converted.
    :param ignored: gets the other files of directories. They are logged at the end of the stream.
    :raises ConfigurationError: nothing to search, an unknown connection, a missing backend, or not a URL.
    """
    ignored = Ignored() if ignored is None else ignored
    storages = Storages(conn_id, MAX_CONVERTED_BYTES if convert else max_image_bytes)
    locations = [Location.open(url, storages) for url in urls_of(images)]
    if not locations:
        raise ConfigurationError("images is empty: there is nothing to search")
    endings = IMAGE_ENDINGS + CONVERTED_ENDINGS if convert else IMAGE_ENDINGS
    if len(locations) == 1:
        return _with_log(locations[0].list(endings, ignored), ignored, convert)
    listed = [location.list(endings, ignored) for location in locations if location.names_many]
    objects = (location for location in locations if not location.names_many)
    return _with_log(_unique(chain(*listed, _look_up(objects))), ignored, convert)


def urls_of(images: Any) -> list[Url]:
    """The URLs in the ``images`` argument; none if it is an empty list, which may be another task's output.

    :raises ConfigurationError: it is blank or has an unsupported type.
    """
    if isinstance(images, str) and not images.strip():
        raise ConfigurationError("images is empty: there is nothing to search")
    return list(_flatten(images))


@dataclass(frozen=True, slots=True)
class Location:
    """One URL: an object, a directory or a glob.

    :param conn_id: connection that ``fs`` was opened with.
    :param path: as fsspec takes it, without protocol and connection id. Never parsed as a URL, since ``#``, ``?`` and
        ``%`` are ordinary characters in an object's key.
    """

    url: str
    protocol: str
    path: str
    fs: Any
    is_glob: bool
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
            return cls(f"{protocol}://{path}", protocol, path, storages.web, False)
        conn_id = storages.conn_id(protocol, conn_id)
        fs = storages.filesystem(protocol, conn_id)
        path = fs._strip_protocol(f"{ALIASES.get(protocol, protocol)}://{path}")
        return cls(url.text, protocol, path, fs, is_glob, conn_id)

    @property
    def names_many(self) -> bool:
        """Whether the URL alone shows that it is not a single object."""
        return self.is_glob or (self.url.endswith("/") and not isinstance(self.fs, Web))

    def list(self, endings: tuple[str, ...], ignored: Ignored) -> Iterator[Image]:
        """Files that match a glob, the object of that name, or a directory's files with these endings, in one listing.

        :raises ConfigurationError: there are none, so that a typo does not look like success, or access is denied.
        """
        if isinstance(self.fs, Web):
            return iter([self.object()])
        self.fs.invalidate_cache()
        files, elsewhere = self._files(endings, ignored), ignored.count
        try:
            first = next(files, None)
        except FileNotFoundError as error:
            raise ConfigurationError(f"no images at {self.url}: {error}") from None
        except PermissionError as error:
            raise ConfigurationError(f"permission denied to list {self.url}: {error}") from None
        if first is None:
            expected = "match the pattern" if self.is_glob else f"end in {', '.join(endings)}"
            others = f", but {ignored}" if ignored.count and not elsewhere else ""
            raise ConfigurationError(f"no images at {self.url}: there are no files that {expected}{others}")
        return map(self._image, chain([first], files))

    def object(self) -> Image:
        """The object at this URL. If it is missing, reading it raises an error."""
        if isinstance(self.fs, Web):
            return self.fs.image(self.url)
        try:
            info = self.fs.info(self.path)
        except Exception:  # reading it tells the reason
            info = {}
        return self._image(File.of(self.path, info))

    def _files(self, endings: tuple[str, ...], ignored: Ignored) -> Iterator[File]:
        if self.is_glob:
            yield from files_matching(self.fs, self.path)
            return
        for file in files_below(self.fs, self.path):
            if file.name == self.path or file.name.lower().endswith(endings):
                yield file
            else:
                ignored.add(file.name)

    def _image(self, file: File) -> Image:
        read = partial(read_file, self.fs, file)
        return Image(f"{self.protocol}://{file.name}", read, file.size, file.etag, self.conn_id)


def _flatten(images: Any) -> Iterator[Url]:
    if isinstance(images, Url):
        yield images
    elif isinstance(images, str):
        rendered = _rendered_list(images)
        if rendered is not None:
            yield from _flatten(rendered)
        elif images.strip():
            yield Url(images)
    elif isinstance(images, Mapping):
        for base, keys in images.items():
            if not re.match(SCHEME, str(base)):
                raise ConfigurationError(f"images maps URLs such as 's3://bucket/' to their keys, not {base!r}")
            folder = base if base.endswith("/") else f"{base}/"
            yield from (Url(folder + key.text, is_key=True) for key in _flatten(keys))
    elif hasattr(images, "fs"):  # an ObjectStoragePath
        yield Url(str(images))
    elif isinstance(images, Iterable) and not isinstance(images, bytes):
        for item in images:
            yield from _flatten(item)
    else:
        raise ConfigurationError(f"images must be a URL or a list of URLs, not {type(images).__name__}")


def _rendered_list(text: str) -> list[Any] | None:
    """A list that a template such as ``{{ ti.xcom_pull(…) }}`` rendered as text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, list) else None


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


def _check_web(protocol: str, user: str | None, path: str, is_glob: bool) -> None:
    if user is not None:
        raise ConfigurationError(f"{protocol}:// URLs take no connection, user or password")
    page = path.partition("?")[0]
    if is_glob or page.endswith("/") or "/" not in page:
        raise ConfigurationError(f"nothing can be listed over {protocol}: name each image, not {protocol}://{path}")


def _look_up(locations: Iterator[Location]) -> Iterator[Image]:
    found: SimpleQueue[tuple[int, Image | BaseException]] = SimpleQueue()
    with closing(Workers("stat", PARALLEL_LOOKUPS, found)) as workers:
        while ahead := list(islice(locations, LOOKUPS_AHEAD)):
            for number, location in enumerate(ahead):
                workers.submit(partial(_look_up_one, number, location))
                workers.grow()
            # Numbers are unique, so that images are never compared.
            for _, image in sorted(found.get() for _ in ahead):
                if isinstance(image, BaseException):
                    raise image
                yield image


def _look_up_one(number: int, location: Location) -> tuple[int, Image | BaseException]:
    try:
        return number, location.object()
    except BaseException as error:
        return number, error


def _unique(images: Iterable[Image]) -> Iterator[Image]:
    with closing(SpillDict()) as seen:
        yield from (image for image in images if seen.add(image.uri))


def _with_log(images: Iterable[Image], ignored: Ignored, convert: bool) -> Iterator[Image]:
    yield from images
    if ignored.count:
        hint = "" if convert or not ignored.convertible else f"; convert_images=True searches {ignored.convertible:,}"
        log.info("Ignored %s%s", ignored, hint)
