"""Identical bytes are searched once, and every image with these bytes gets the answer."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cached_property

from airflow_provider_yandex_vision.search.spill import SpillDict
from airflow_provider_yandex_vision.vision.models import CopySearchResult, PreparedImage


class Duplicates:
    """Answers by content, and the images that wait for one. Answers are kept on disk, so memory stays flat."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[PreparedImage]] = {}

    @cached_property
    def _answers(self) -> SpillDict:
        return SpillDict()

    def answer(self, image: PreparedImage) -> CopySearchResult | None:
        """The answer for this image, if the same bytes have been searched."""
        answer = self._answers.get(image.sha256)
        return image.copy_of(pickle.loads(answer)) if answer else None

    def wait(self, image: PreparedImage) -> bool:
        """Let the image wait for the answer to the same bytes.

        :return: False if nobody is searching these bytes: then the caller has to, and later images wait for it.
        """
        waiting = self._waiting.get(image.sha256)
        if waiting is None:
            self._waiting[image.sha256] = []
            return False
        waiting.append(replace(image, part=b""))
        return True

    def settle(self, image: PreparedImage, result: CopySearchResult, *, final: bool = False) -> list[CopySearchResult]:
        """Results of the images that waited. ``failed`` is not remembered: another attempt may work.

        :param final: remember it all the same.
        """
        if final or result.status != "failed":
            self._answers[image.sha256] = pickle.dumps(result)
        return [duplicate.copy_of(result) for duplicate in self._waiting.pop(image.sha256)]

    def close(self) -> None:
        self._answers.close()
