"""The ``images`` argument: URLs, opened through Airflow connections and listed."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import chain, islice
from logging import getLogger
from queue import SimpleQueue
from typing import Any, TypeAlias

from airflow_provider_yandex_vision.images.ignored import CONVERTED_ENDINGS, IMAGE_ENDINGS, Ignored
from airflow_provider_yandex_vision.images.location import SCHEME, Location, Url, check_stores
from airflow_provider_yandex_vision.images.storage import Storages
from airflow_provider_yandex_vision.search import defaults
from airflow_provider_yandex_vision.search.spill import SpillDict
from airflow_provider_yandex_vision.search.workers import Workers
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from airflow_provider_yandex_vision.vision.models import Image

log = getLogger(__name__)

PARALLEL_LOOKUPS = 16
LOOKUPS_AHEAD = 256

LookUp: TypeAlias = "Callable[[], Iterable[Image]]"


def list_images(
    images: Any,
    conn_id: str | None = None,
    *,
    convert: bool = False,
    max_image_bytes: int = defaults.MAX_IMAGE_BYTES,
    ignored: Ignored | None = None,
) -> Iterator[Image]:
    """Images by URL, glob, directory URL, or any nesting of lists of these; each URI once.

    Before this returns, connections are resolved, and globs and directories listed. Other elements of a list are looked
    up as the stream is consumed; a missing object raises an error when it is read.

    :param images: also a mapping of base URLs to keys: ``{"s3://bucket/": ["a.jpg"]}``.
    :param conn_id: connection for URLs that do not name one.
    :param convert: list a directory's WebP, TIFF, BMP and GIF files as well as JPEG and PNG.
    :param max_image_bytes: read no more than this of an image on the web, unless it is to be converted.
    :param ignored: gets the other files of directories. They are logged at the end of the stream.
    :raises ConfigurationError: nothing to search, an unknown connection, a missing backend, not a URL, or the same
        bucket in two stores.
    """
    ignored = Ignored() if ignored is None else ignored
    storages = Storages(conn_id, defaults.MAX_CONVERTED_BYTES if convert else max_image_bytes)
    locations = [Location.open(url, storages) for url in urls_of(images) if not _is_marker(url, ignored)]
    if not locations:
        raise ConfigurationError("images is empty: there is nothing to search")
    check_stores(locations)
    endings = IMAGE_ENDINGS + CONVERTED_ENDINGS if convert else IMAGE_ENDINGS
    if len(locations) == 1:
        return _with_log(locations[0].list(endings, ignored), ignored, convert)
    listed = [location.list(endings, ignored) for location in locations if location.names_many]
    objects = (partial(location.look_up, endings, ignored) for location in locations if not location.names_many)
    return _with_log(_unique(chain(*listed, _look_up(objects))), ignored, convert)


def urls_of(images: Any) -> list[Url]:
    """The URLs in the ``images`` argument; none if it is an empty list, which may be another task's output.

    :raises ConfigurationError: it is blank or has an unsupported type.
    """
    return list(_flatten(images))


def _flatten(images: Any) -> Iterator[Url]:
    if isinstance(images, Url):
        yield images
    elif isinstance(images, str):
        rendered = _rendered_list(images)
        if rendered is not None:
            yield from _flatten(rendered)
        else:
            _check_not_blank(images)
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


def _check_not_blank(text: str) -> None:
    if not text.strip():
        raise ConfigurationError("images is empty, or an element of it: is it a template that renders to nothing?")


def _rendered_list(text: str) -> list[Any] | None:
    """A list that a template such as ``{{ ti.xcom_pull(…) }}`` rendered as text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, list) else None


def _is_marker(url: Url, ignored: Ignored) -> bool:
    """Whether it is one of the keys that only mark directories."""
    if not (url.is_key and url.text.endswith("/")):
        return False
    ignored.add(url.text)
    return True


def _look_up(lookups: Iterator[LookUp]) -> Iterator[Image]:
    found: SimpleQueue[tuple[int, Iterable[Image] | BaseException]] = SimpleQueue()
    with closing(Workers("stat", PARALLEL_LOOKUPS, found)) as workers:
        while ahead := list(islice(lookups, LOOKUPS_AHEAD)):
            for number, look_up in enumerate(ahead):
                workers.submit(partial(_look_up_one, number, look_up))
                workers.grow()
            # Numbers are unique, so that images are never compared.
            for _, images in sorted(found.get() for _ in ahead):
                if isinstance(images, BaseException):
                    raise images
                yield from images


def _look_up_one(number: int, look_up: LookUp) -> tuple[int, Iterable[Image] | BaseException]:
    try:
        return number, look_up()
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
