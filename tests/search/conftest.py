from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_mock

from airflow_provider_yandex_vision.search.prepare import PreparedImage, Limits, prepare_image
from airflow_provider_yandex_vision.vision.client import VisionClient
from airflow_provider_yandex_vision.vision.errors import ServiceError
from tests.support.loopback import reply, tls_context
from tests.support.pictures import image
from tests.support.secrets import API_KEY

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
URL = "https://vision.api.cloud.yandex.net/vision/v1/batchAnalyze"
NO_COPIES: dict[str, Any] = {"results": [{"imageCopySearch": {}}]}
ONE_RESULT = reply(json.dumps({"results": [NO_COPIES]}).encode())


@pytest.fixture
def service() -> requests_mock.Adapter:
    """Duplicates in place of the service: ``service.register_uri("POST", URL, …)``."""
    return requests_mock.Adapter()


@pytest.fixture
def session(service: requests_mock.Adapter) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.mount("https://", service)
        yield session


@pytest.fixture
def client(session: requests.Session) -> VisionClient:
    return VisionClient(API_KEY, session=session, now=lambda: NOW)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Trusted only where the environment says ``ca.pem``, which it does not yet."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return tls_context(tmp_path / "ca.pem")


def answer(connection: socket.socket) -> None:
    connection.sendall(ONE_RESULT)


def checked(*uris: str) -> list[PreparedImage]:
    return [prepare_image(image(uri), Limits()) for uri in uris]


def sent(service: requests_mock.Adapter) -> Any:
    return service.last_request


def error_of(client: VisionClient, *uris: str) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        client.batch_analyze(checked(*(uris or ("memory://a",))))
    return caught.value
