"""Identical bytes are searched once: whoever comes second gets the answer of the first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from airflow_provider_yandex_vision.vision.checks import CheckedImage
from airflow_provider_yandex_vision.vision.messages import CopySearchResult
from airflow_provider_yandex_vision.vision.spill import SpillDict


class Answers:
    """What is known by content, and who waits to know it. Answers are kept on disk, so memory stays flat."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[CheckedImage]] = {}
        self._given = SpillDict()

    def is_awaited(self, image: CheckedImage) -> bool:
        return image.sha256 in self._waiting

    def given(self, image: CheckedImage) -> CopySearchResult | None:
        """The answer to the same bytes, for this image."""
        answer = self._given.get(image.sha256)
        return copy_for(image, CopySearchResult.from_dict(json.loads(answer))) if answer else None

    def expect(self, image: CheckedImage) -> None:
        """This image is going to be searched; those of the same bytes wait for it."""
        self._waiting[image.sha256] = []

    def wait(self, image: CheckedImage) -> None:
        """Its own bytes are not needed any more, so they are not kept."""
        self._waiting[image.sha256].append(replace(image, spec=b""))

    def settle(self, image: CheckedImage, result: CopySearchResult) -> Iterator[CopySearchResult]:
        """Results of those who waited. What ``failed`` is not remembered: the same bytes may fare better later."""
        if result.status != "failed":
            self._given[image.sha256] = json.dumps(result.to_dict())
        return (copy_for(twin, result) for twin in self._waiting.pop(image.sha256))

    def close(self) -> None:
        self._given.close()


def copy_for(image: CheckedImage, answer: CopySearchResult) -> CopySearchResult:
    return replace(answer, uri=image.image.uri, size=image.size, etag=image.etag, mime_type=image.mime_type)
