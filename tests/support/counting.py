"""The emulator without its search: every image has copies, and what is billed is counted."""

from __future__ import annotations

import hashlib
from collections import Counter

from airflow_provider_yandex_vision.emulator.contract import AnalyzeSpec, Json
from airflow_provider_yandex_vision.emulator.copies import CopyIndex
from airflow_provider_yandex_vision.emulator.service import Service
from tests.support.secrets import API_KEY


class CountingService(Service):
    """Answers at once, so that thousands of images that are only a header can be searched.

    :param latency: seconds.
    """

    def __init__(self, latency: float = 0.0, requests_per_second: float | None = None) -> None:
        super().__init__(CopyIndex([]), api_key=API_KEY, latency=latency, requests_per_second=requests_per_second)

    @property
    def billed(self) -> Counter[str]:
        """How often each image was billed, by SHA-256."""
        with self._lock:
            return self._billed.copy()

    @property
    def images_billed(self) -> int:
        with self._lock:
            return self._billed.total()

    @property
    def paid_twice(self) -> int:
        """Images billed more than once."""
        return sum(times > 1 for times in self.billed.values())

    def pages_of(self, sha256: str) -> tuple[str, ...]:
        """Pages that show the image."""
        return f"https://a.example/{sha256}", f"https://b.example/{sha256}"

    def _analyze(self, spec: AnalyzeSpec) -> Json:
        sha256 = hashlib.sha256(spec.content).hexdigest()
        with self._lock:
            self._billed[sha256] += 1
        pages = [{"pageUrl": page, "imageUrl": f"{page}.png"} for page in self.pages_of(sha256)]
        return {"results": [{"imageCopySearch": {"copyCount": str(len(pages)), "topResults": pages} if pages else {}}]}
