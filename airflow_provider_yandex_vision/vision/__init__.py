"""The service: one request of Yandex Vision's ``batchAnalyze`` for copies of images. Usable without Airflow."""

from airflow_provider_yandex_vision.vision.client import VisionClient
from airflow_provider_yandex_vision.vision.credentials import ApiKey
from airflow_provider_yandex_vision.vision.models import Content, CopyMatch, CopySearchResult, Image, PreparedImage

__all__ = ["ApiKey", "Content", "CopyMatch", "CopySearchResult", "Image", "PreparedImage", "VisionClient"]
