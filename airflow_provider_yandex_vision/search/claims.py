"""Contents are claimed just before they are sent, so that no two tasks pay for the same one."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from airflow_provider_yandex_vision.search.ledger import Known, Ledger
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
    def ready(self) -> int:
        """Images to claim next, if nobody else has by then."""
        return len(self._unknown)

    @property
    def next_due(self) -> float:
        """When to look again for what another task is searching."""
        return self._elsewhere.next_due

    def add(self, image: PreparedImage) -> None:
        self._new.append(image)

    def look_up(self) -> Answered:
        """Sort out new images, and those that have waited. :return: images that have an answer already."""
        images, self._new = self._new, []
        while waited := self._elsewhere.pop_due():
            images += waited
        if not images:
            return []
        unknown, answered = self._sort(images, self.ledger.known([image.sha256 for image in images]))
        self._unknown.extend(unknown)
        return answered

    def take(self, max_images: int) -> tuple[Batch, Answered]:
        """Claim images that are ready, but no more than this: what is claimed, no other task can send.

        :return: images to search here, and images that have got an answer meanwhile.
        """
        images = [self._unknown.popleft() for _ in range(min(max_images, len(self._unknown)))]
        return self._sort(images, self.ledger.claim([image.sha256 for image in images]))

    def _sort(self, images: Batch, known: Known) -> tuple[Batch, Answered]:
        """Let those wait that another task is searching. :return: those to search here, and those with an answer."""
        elsewhere = [image for image in images if image.sha256 in known.elsewhere]
        if elsewhere:
            self._elsewhere.add(elsewhere, self._poll_seconds)
        to_search = [image for image in images if image.sha256 not in {*known.answers, *known.elsewhere}]
        answers = ((image, known.answers.get(image.sha256)) for image in images)
        return to_search, [(image, image.copy_of(answer)) for image, answer in answers if answer]
