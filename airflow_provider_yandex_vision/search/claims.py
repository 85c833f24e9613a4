"""Contents are claimed just before they are sent, so that no two tasks pay for the same one."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from airflow_provider_yandex_vision.search.ledger import Answers, Claimed, Ledger
from airflow_provider_yandex_vision.search.pacing import Clock
from airflow_provider_yandex_vision.search.queues import Batch, DelayQueue
from airflow_provider_yandex_vision.vision.models import CopySearchResult, PreparedImage

Answered: TypeAlias = "list[tuple[PreparedImage, CopySearchResult]]"


class Claims:
    """Images on their way to a claim: new ones, those without a known answer, those that another task is searching.

    A claimed image is sent whatever the others wait for, so tasks that wait for each other all go on. Only the
    consuming thread uses it.

    :param poll_seconds: between two looks for an answer that another task is searching.
    """

    def __init__(self, ledger: Ledger, poll_seconds: float, clock: Clock) -> None:
        self.ledger = ledger
        self._poll_seconds = poll_seconds
        self._new: Batch = []
        self._unknown: deque[PreparedImage] = deque()
        self._elsewhere = DelayQueue(clock)

    def __len__(self) -> int:
        """Images that need not wait for another task."""
        return len(self._new) + len(self._unknown)

    @property
    def next_due(self) -> float:
        """When to look again for what another task is searching."""
        return self._elsewhere.next_due

    def add(self, image: PreparedImage) -> None:
        self._new.append(image)

    def take(self, max_images: int) -> tuple[Batch, Answered]:
        """Claim the next images, but no more than that: what is claimed, no other task can send.

        :return: images to search here, and images that have an answer already.
        """
        while waited := self._elsewhere.pop_due():
            self._new += waited
        answered = self._look_up() if len(self._unknown) < max_images else []
        images = [self._unknown.popleft() for _ in range(min(max_images, len(self._unknown)))]
        claimed = self.ledger.claim([image.sha256 for image in images]) if images else Claimed()
        elsewhere = [image for image in images if image.sha256 in claimed.elsewhere]
        if elsewhere:
            self._elsewhere.add(elsewhere, self._poll_seconds)
        answered += _answered(images, claimed.answers)
        given_away = {*claimed.answers, *claimed.elsewhere}
        return [image for image in images if image.sha256 not in given_away], answered

    def _look_up(self) -> Answered:
        images, self._new = self._new, []
        known = self.ledger.known([image.sha256 for image in images]) if images else {}
        self._unknown.extend(image for image in images if image.sha256 not in known)
        return _answered(images, known)


def _answered(images: Batch, answers: Answers) -> Answered:
    return [(image, image.copy_of(answers[image.sha256])) for image in images if image.sha256 in answers]
