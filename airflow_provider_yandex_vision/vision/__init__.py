"""The Yandex Vision image copy search, without Airflow: any number of images in, results out."""

from airflow_provider_yandex_vision.vision.checks import Limits
from airflow_provider_yandex_vision.vision.client import VisionClient
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
from airflow_provider_yandex_vision.vision.messages import Content, CopyMatch, CopySearchResult, Image
from airflow_provider_yandex_vision.vision.search import CopySearch
from airflow_provider_yandex_vision.vision.settings import RetryPolicy, Settings

__all__ = [
    "AccessError",
    "AuthenticationError",
    "ConfigurationError",
    "Content",
    "CopyMatch",
    "CopySearch",
    "CopySearchResult",
    "Image",
    "ImageError",
    "ImageRejectedError",
    "ImageUnreadableError",
    "InvalidRequestError",
    "Limits",
    "PermissionDeniedError",
    "ProtocolError",
    "RetryPolicy",
    "ServiceError",
    "Settings",
    "ThrottledError",
    "TransientError",
    "UnavailableError",
    "VisionClient",
    "YandexVisionError",
]
