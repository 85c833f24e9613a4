"""What the user named, as a stream of images."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain, islice
from typing import Any

from airflow_provider_yandex_vision.images.storage import Location
from airflow_provider_yandex_vision.search.spill import SpillDict
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, NoImagesError
from airflow_provider_yandex_vision.vision.models import Image

PARALLEL_LOOKUPS = 16
LOOKUPS_AHEAD = 256


def list_images(images: Any, conn_id: str | None = None) -> Iterator[Image]:
    """Images by URL, glob, directory URL, or any nesting of lists of these; each URI once.

    Connections are resolved, and patterns and directories listed, before this returns; objects named one
    by one are looked up as the stream is consumed, and a missing one is found out when it is read.

    :param conn_id: connection for URLs that name none themselves.
    :raises NoImagesError: a pattern or a directory without a picture, or nothing named at all.
    :raises ConfigurationError: no such connection, no backend, or not a URL.
    """
    urls = urls_of(images)
    if not urls:
        raise NoImagesError("images is empty: there is nothing to search")
    locations = [Location.open(url, conn_id) for url in urls]
    if len(locations) == 1:
        return locations[0].list()
    listed = [location.list() for location in locations if location.names_many]
    named = (location for location in locations if not location.names_many)
    return _each_once(chain(*listed, _look_up(named)))


def urls_of(images: Any) -> list[str]:
    """The URLs in whatever the ``images`` argument may be.

    :raises ConfigurationError: it is nothing of the kind.
    """
    if isinstance(images, str):
        return _rendered_list(images) if images.lstrip().startswith("[") else [images] if images.strip() else []
    if hasattr(images, "fs"):
        return [str(images)]
    if isinstance(images, Iterable) and not isinstance(images, (bytes, dict)):
        return [url for item in images for url in urls_of(item)]
    raise ConfigurationError(f"images takes URLs as text or lists of them, not {type(images).__name__}")


def _rendered_list(text: str) -> list[str]:
    """A list that a template turned into its text, as ``{{ ti.xcom_pull(…) }}`` does."""
    try:
        urls = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return [text]
    return urls_of(urls)


def _look_up(locations: Iterable[Location]) -> Iterator[Image]:
    remaining = iter(locations)
    with ThreadPoolExecutor(PARALLEL_LOOKUPS, thread_name_prefix="vision-stat") as pool:
        while ahead := list(islice(remaining, LOOKUPS_AHEAD)):
            yield from pool.map(Location.object, ahead)


def _each_once(images: Iterable[Image]) -> Iterator[Image]:
    with closing(SpillDict()) as seen:
        for image in images:
            if seen.add(image.uri):
                yield image
