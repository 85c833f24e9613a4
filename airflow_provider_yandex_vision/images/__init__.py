"""Object storage as a stream of images to search."""

from airflow_provider_yandex_vision.images.urls import list_images

__all__ = ["list_images"]
