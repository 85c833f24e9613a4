"""Which files of a directory are searched, and how many are not."""

from __future__ import annotations

import posixpath
import threading
from collections import Counter

from airflow_provider_yandex_vision.vision.errors import printable

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
CONVERTED_ENDINGS = (".webp", ".tif", ".tiff", ".bmp", ".gif")

MAX_ENDINGS = 100
"""Endings counted one by one. There may be as many as files: ``scan.0001``, ``scan.0002``."""
MAX_ENDING_LENGTH = 12
MAX_SHOWN = 10


class Ignored:
    """Counts the files of directories that are not searched, by ending.

    Its text is safe to log: ``12 files: 7 .txt, 5 .mp4``. Safe to use from any thread.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._by_ending: Counter[str] = Counter()

    def __str__(self) -> str:
        shown = sorted(self._by_ending.items(), key=lambda entry: (-entry[1], entry[0]))[:MAX_SHOWN]
        parts = [f"{count:,} {printable(ending) or 'without an ending'}" for ending, count in shown]
        if others := self.count - sum(count for _, count in shown):
            parts.append(f"{others:,} others")
        return f"{self.count:,} {'file' if self.count == 1 else 'files'}: {', '.join(parts)}"

    @property
    def convertible(self) -> int:
        """Files that ``convert_images=True`` would search."""
        return sum(self._by_ending[ending] for ending in CONVERTED_ENDINGS)

    def add(self, name: str) -> None:
        ending = posixpath.splitext(name)[1].lower()[:MAX_ENDING_LENGTH]
        with self._lock:
            self.count += 1
            if ending in self._by_ending or len(self._by_ending) < MAX_ENDINGS or ending in CONVERTED_ENDINGS:
                self._by_ending[ending] += 1
