"""Which of the listed images are searched: never twice by accident, and no more than the budget allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from heapq import heappop, heappush
from logging import getLogger

from airflow_provider_yandex_vision.results.database import chunks
from airflow_provider_yandex_vision.results.table import Now, ResultTable, SearchedImage, utc_now
from airflow_provider_yandex_vision.vision.models import Image

log = getLogger(__name__)


class DueImages:
    """Yields the images that are to be searched and counts the others, in flat memory.

    Skipped are images with a result of this run (its earlier attempts, other tasks of it), unless that is
    ``failed``, or is ``rejected`` and the content has changed since. With ``recheck_after`` skipped are also
    images whose etag is that of a search within this time that did not fail. Each URI may be listed once only.

    With ``max_images`` images never searched come first, then those whose search is longest ago.
    What earlier attempts of the task have done counts against ``max_images``.

    :param table: what is remembered; None remembers nothing, so nothing is skipped.
    :param recheck_after: None has every new run search everything.
    :param max_images: budget of the task instance; None has images come as listed.
    """

    def __init__(
        self,
        images: Iterable[Image],
        table: ResultTable | None,
        *,
        recheck_after: timedelta | None = None,
        max_images: int | None = None,
        now: Now = utc_now,
    ) -> None:
        self._images = images
        self._table = table
        self._max_images = max_images
        self._fresh_since = None if recheck_after is None else now() - recheck_after
        self.listed = 0
        self.resumed = 0
        self.unchanged = 0
        self.left_over = 0

    @property
    def skipped(self) -> int:
        return self.resumed + self.unchanged

    def __iter__(self) -> Iterator[Image]:
        done = self._table.committed() if self._table else 0
        if done:
            log.info("This run goes on: %s images were done by earlier attempts and are skipped", f"{done:,}")
        if self._max_images is not None:
            yield from self._within(max(0, self._max_images - done))
        else:
            yield from (image for image, _ in self._due())
        log.info(
            "Listed %s images; skipped %s done in this run, %s unchanged since their last search; %s over max_images",
            *(f"{count:,}" for count in (self.listed, self.resumed, self.unchanged, self.left_over)),
        )

    def _due(self) -> Iterator[tuple[Image, SearchedImage | None]]:
        for chunk in chunks(self._images):
            self.listed += len(chunk)
            known = self._table.lookup([image.uri for image in chunk]) if self._table else {}
            for image in chunk:
                searched = known.get(image.uri)
                if searched is None or searched.status == "failed":
                    yield image, None
                elif self._is_resumed(image, searched):
                    self.resumed += 1
                elif self._is_unchanged(image, searched):
                    self.unchanged += 1
                else:
                    yield image, searched

    def _is_resumed(self, image: Image, searched: SearchedImage) -> bool:
        assert self._table is not None
        run = self._table.run
        if (searched.run_id, searched.dag_id) != (run.run_id, run.dag_id):
            return False
        return searched.status != "rejected" or searched.etag == image.etag

    def _is_unchanged(self, image: Image, searched: SearchedImage) -> bool:
        return (
            self._fresh_since is not None
            and image.etag is not None
            and searched.etag == image.etag
            and searched.searched_at > self._fresh_since
        )

    def _within(self, budget: int) -> Iterator[Image]:
        # The newest search is at the top, and the first to give way. Numbers keep images from being compared.
        waiting: list[tuple[float, int, Image]] = []
        for number, (image, searched) in enumerate(self._due()):
            if searched is not None:
                heappush(waiting, (-searched.searched_at.timestamp(), -number, image))
            elif budget:
                budget -= 1
                yield image
            else:
                self.left_over += 1
            if len(waiting) > budget:
                heappop(waiting)
                self.left_over += 1
        for _, _, image in sorted(waiting, key=lambda entry: entry[:2], reverse=True):
            yield image
