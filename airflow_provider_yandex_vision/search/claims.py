"""Contents are claimed just before they are sent, so that no two tasks pay for the same one."""

from __future__ import annotations

from collections import deque

from airflow_provider_yandex_vision.search.ledger import Ledger
from airflow_provider_yandex_vision.search.pacing import Clock
from airflow_provider_yandex_vision.search.queues import Batch, DelayQueue
from airflow_provider_yandex_vision.vision.models import CopySearchResult, PreparedImage


class Claims:
    """Images that were not sent yet: new ones, and those whose content another task is searching.

    A claimed image is sent whatever the others wait for, so tasks that wait for each other all go on. Only the
    consuming thread uses it.
    """

    def __init__(self, ledger: Ledger, poll_seconds: float, clock: Clock) -> None:
        self.ledger = ledger
        self._poll_seconds = poll_seconds
        self._new: deque[PreparedImage] = deque()
        self._elsewhere = DelayQueue(clock)

    def __len__(self) -> int:
        """Images that can be claimed at once."""
        return len(self._new)

    @property
    def next_due(self) -> float:
        """When it is time to ask again for what another task is searching."""
        return self._elsewhere.next_due

    def add(self, image: PreparedImage) -> None:
        self._new.append(image)

    def take(self, max_images: int) -> tuple[Batch, list[tuple[PreparedImage, CopySearchResult]]]:
        """Claim the next images, those that have waited before new ones.

        :return: images that are to be searched here, and images that have an answer already.
        """
        while waited := self._elsewhere.pop_due():
            self._new.extendleft(reversed(waited))
        images = [self._new.popleft() for _ in range(min(max_images, len(self._new)))]
        claimed = self.ledger.claim([image.sha256 for image in images])
        elsewhere = [image for image in images if image.sha256 in claimed.elsewhere]
        if elsewhere:
            self._elsewhere.add(elsewhere, self._poll_seconds)
        answered = [
            (image, image.copy_of(claimed.answers[image.sha256])) for image in images if image.sha256 in claimed.answers
        ]
        known = {*claimed.answers, *claimed.elsewhere}
        return [image for image in images if image.sha256 not in known], answered
