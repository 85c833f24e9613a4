from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import requests
import requests_mock

from airflow_provider_yandex_vision.vision.checks import CheckedImage, Limits, read_checked
from airflow_provider_yandex_vision.vision.client import VisionClient
from airflow_provider_yandex_vision.vision.errors import ServiceError
from tests.pictures import image
from tests.secrets import API_KEY

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
URL = "https://vision.api.cloud.yandex.net/vision/v1/batchAnalyze"
NO_COPIES: dict[str, Any] = {"results": [{"imageCopySearch": {}}]}


@pytest.fixture
def service() -> requests_mock.Adapter:
    """Answers in place of the service: ``service.register_uri("POST", URL, …)``."""
    return requests_mock.Adapter()


@pytest.fixture
def session(service: requests_mock.Adapter) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.mount("https://", service)
        yield session


@pytest.fixture
def client(session: requests.Session) -> VisionClient:
    return VisionClient(API_KEY, session=session, now=lambda: NOW)


def checked(*uris: str) -> list[CheckedImage]:
    return [read_checked(image(uri), Limits()) for uri in uris]


def sent(service: requests_mock.Adapter) -> Any:
    return service.last_request


def error_of(client: VisionClient, *uris: str) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        client.batch_analyze(checked(*(uris or ("memory://a",))))
    return caught.value
