"""Object storage made into images that can be searched."""

from airflow_provider_yandex_vision.images.urls import list_images

__all__ = ["list_images"]
