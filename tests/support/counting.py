"""The emulator without its search: every picture has two copies, and what is billed is counted."""

from __future__ import annotations

import hashlib

from airflow_provider_yandex_vision.emulator.contract import AnalyzeSpec, Json
from airflow_provider_yandex_vision.emulator.copies import CopyIndex
from airflow_provider_yandex_vision.emulator.service import Service
from tests.support.secrets import API_KEY

SITES = ("https://a.example", "https://b.example")


class CountingService(Service):
    """Duplicates at once, so that thousands of made-up pictures can be searched.

    :param latency: seconds.
    """

    def __init__(self, latency: float = 0.0, requests_per_second: float | None = None) -> None:
        super().__init__(CopyIndex([]), api_key=API_KEY, latency=latency, requests_per_second=requests_per_second)

    @property
    def images_billed(self) -> int:
        return self._billed.total()

    def _analyze(self, spec: AnalyzeSpec) -> Json:
        sha256 = hashlib.sha256(spec.content).hexdigest()
        with self._lock:
            self._billed[sha256] += 1
        pages = [
            {"imageUrl": f"https://{site}/{sha256}.png", "pageUrl": f"https://{site}/"}
            for site in ("a.example", "b.example")
        ]
        return {"results": [{"imageCopySearch": {"copyCount": "2", "topResults": pages}}]}
