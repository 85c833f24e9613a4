"""An emulator whose web, key, quota and faults can change while it runs."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from airflow_provider_yandex_vision.emulator.contract import Json, Refusal
from airflow_provider_yandex_vision.emulator.copies import CopyIndex
from airflow_provider_yandex_vision.emulator.pages import index_images, index_pages
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import ANALYZE, Answer, Service

API_KEY = "key-of-the-emulated-service"
UNKNOWN = 2
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 413: 3, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}
"""gRPC codes by HTTP status."""


class ScriptedService(Service):
    """A service that answers the next requests with the HTTP statuses in ``faults``, and then goes on as before."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.faults: deque[int] = deque()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if (method, path) == ANALYZE:
            with suppress(IndexError):
                return self._fault(self.faults.popleft())
        return super().answer(method, path, headers, body)

    @staticmethod
    def _fault(status: int) -> Answer:
        body = Refusal(status, CODES.get(status, UNKNOWN), "a fault of the emulator's script").body
        return Answer(status, {"x-request-id": "fault"}, json.dumps(body).encode())


class Emulator:
    """A running emulator. All of its methods take effect at once.

    :param url: base URL of the service.
    """

    def __init__(self, url: str, service: ScriptedService) -> None:
        self.url = url
        self._service = service

    @property
    def connection(self) -> str:
        """An Airflow connection to the emulator, for an environment variable ``AIRFLOW_CONN_…``."""
        return json.dumps({"conn_type": "yandex_vision", "password": API_KEY, "host": self.url})

    def show(self, pages: Mapping[str, bytes | Path] | Path) -> None:
        """Replace the web.

        :param pages: URLs of pages, each with the image it shows; or a folder, ``<site domain>/<path>/<image>``. An
            empty dictionary is a web without any image.
        :raises ConfigurationError: an image cannot be decoded, or the folder has none.
        """
        self._service.index = index_images(pages) if isinstance(pages, Mapping) else index_pages(pages)

    def fail(self, *statuses: int) -> None:
        """Answer the next requests with these HTTP statuses, one each, before anything is searched or billed."""
        self._service.faults.extend(statuses)

    def limit(self, requests_per_second: float | None) -> None:
        """Answer 429 to requests above this rate; None sets no limit."""
        self._service.set_quota(requests_per_second)

    def require_key(self, api_key: str | None) -> None:
        """Accept this key only, None accepts any. The connection keeps the key of the start."""
        self._service.set_api_key(api_key)

    @property
    def billed(self) -> int:
        """Images that were paid for."""
        return int(self.statistics()["images"])

    def statistics(self) -> Json:
        """Requests by HTTP status without the scripted faults, and billed images with their SHA-256."""
        return self._service.statistics()


@contextmanager
def emulated() -> Iterator[Emulator]:
    """Run an emulator with an empty web inside the ``with`` block."""
    service = ScriptedService(CopyIndex(()), api_key=API_KEY)
    with running(service) as url:
        yield Emulator(url, service)
