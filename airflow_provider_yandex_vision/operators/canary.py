"""An image that surely has copies, searched before anything else is paid for."""

from __future__ import annotations

from itertools import islice

from airflow_provider_yandex_vision.images.ignored import Ignored
from airflow_provider_yandex_vision.images.urls import list_images, urls_of
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import VisionClient
from airflow_provider_yandex_vision.vision.errors import (
    COPY_SEARCH_OFF,
    ConfigurationError,
    CopySearchOffError,
    FailedImagesError,
)
from airflow_provider_yandex_vision.vision.models import CopySearchResult


def canary_search(client: VisionClient, url: str, object_storage_conn_id: str | None, settings: Settings) -> CopySearch:
    """A search for one image.

    :raises ConfigurationError: the URL names no image, or several.
    """
    images = list_images(
        urls_of(url),
        object_storage_conn_id,
        convert=settings.convert is not None,
        max_image_bytes=settings.max_image_bytes,
        ignored=Ignored(),
    )
    first = list(islice(images, 2))
    if len(first) != 1:
        raise ConfigurationError(f"canary must name one image: {url!r}")
    return CopySearch(client, first, settings)


def check_canary(result: CopySearchResult) -> None:
    """
    :raises CopySearchOffError: it has no copies.
    :raises ConfigurationError: it can never be searched.
    :raises FailedImagesError: it could not be searched this time.
    """
    if result.status == "none":
        raise CopySearchOffError(f"{COPY_SEARCH_OFF}: the canary {result.uri} has no copies")
    if result.status != "found":
        kind = ConfigurationError if result.status == "rejected" else FailedImagesError
        raise kind(f"the canary {result.uri} could not be searched: {result.error_code}: {result.error_message}")
