from __future__ import annotations

import hashlib
import json
import socket
import ssl
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from requests_mock import Mocker

from airflow_provider_yandex_vision.vision import ApiKey, PreparedImage, VisionClient
from airflow_provider_yandex_vision.vision.errors import ServiceError
from airflow_provider_yandex_vision.vision.wire import encode_image
from tests.support.loopback import reply, tls_context
from tests.support.pictures import png
from tests.support.secrets import API_KEY

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
URL = "https://vision.api.cloud.yandex.net/vision/v1/batchAnalyze"
NO_COPIES: dict[str, Any] = {"results": [{"imageCopySearch": {}}]}
ONE_RESULT = reply(json.dumps({"results": [NO_COPIES]}).encode())


@pytest.fixture
def service(requests_mock: Mocker) -> Mocker:
    """Stands in for the service: ``service.post(URL, …)``."""
    return requests_mock


@pytest.fixture
def client() -> VisionClient:
    return new_client(now=lambda: NOW)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Not trusted unless the environment names ``ca.pem``."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return tls_context(tmp_path / "ca.pem")


def new_client(**options: Any) -> VisionClient:
    return VisionClient(ApiKey(API_KEY), **options)


def answer(connection: socket.socket) -> None:
    connection.sendall(ONE_RESULT)


def prepared(*uris: str) -> list[PreparedImage]:
    return [prepare(uri, png(uri)) for uri in uris or ("memory://a",)]


def prepare(uri: str, content: bytes) -> PreparedImage:
    part, sha256 = encode_image(content, "image/png"), hashlib.sha256(content).hexdigest()
    return PreparedImage(uri, part, sha256, len(content), "image/png", "v1")


def sent(service: Mocker) -> Any:
    return service.last_request


def error_of(client: VisionClient, *uris: str) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        client.batch_analyze(prepared(*uris))
    return caught.value
