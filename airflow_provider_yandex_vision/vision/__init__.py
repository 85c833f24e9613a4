"""The service: one request of Yandex Vision's ``batchAnalyze`` for copies of images. Usable without Airflow."""

from airflow_provider_yandex_vision.vision.client import VisionClient
from airflow_provider_yandex_vision.vision.credentials import ApiKey
from airflow_provider_yandex_vision.vision.errors import (
    AccessError,
    AuthenticationError,
    ConfigurationError,
    ImageError,
    ImageRejectedError,
    ImageUnreadableError,
    InvalidRequestError,
    PermissionDeniedError,
    ProtocolError,
    ServiceError,
    ThrottledError,
    TransientError,
    UnavailableError,
    YandexVisionError,
)
from airflow_provider_yandex_vision.vision.models import Content, CopyMatch, CopySearchResult, Image, PreparedImage

__all__ = [
    "AccessError",
    "ApiKey",
    "AuthenticationError",
    "ConfigurationError",
    "Content",
    "CopyMatch",
    "CopySearchResult",
    "Image",
    "ImageError",
    "ImageRejectedError",
    "ImageUnreadableError",
    "InvalidRequestError",
    "PermissionDeniedError",
    "PreparedImage",
    "ProtocolError",
    "ServiceError",
    "ThrottledError",
    "TransientError",
    "UnavailableError",
    "VisionClient",
    "YandexVisionError",
]
