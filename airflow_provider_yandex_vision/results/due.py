"""Which of the listed images to search: none twice by accident, and no more than the budget allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from heapq import heappop, heappush
from logging import getLogger

from airflow_provider_yandex_vision.results.database import chunks
from airflow_provider_yandex_vision.results.table import CLOCK_SKEW, ResultTable, SearchedImage
from airflow_provider_yandex_vision.results.writing import Now
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.vision.models import Image, utc_now

log = getLogger(__name__)


class DueImages:
    """Yields the images to search and counts the others. Memory does not grow with the listing.

    An image is skipped if it has a result of this DAG run (from an earlier attempt or another task), unless that
    is ``failed``, or is ``rejected`` and the content has changed since. With ``recheck_after``, an image is also
    skipped if its etag is unchanged, the last try did not fail, and its answer or rejection is more recent than that.
    A time in the future is unknown, and counts as never.

    With ``max_images``, images never searched come first, then those searched the longest ago.

    ``earlier`` counts the images that earlier attempts of the task have finished, ``finished`` those of other tasks of
    the run.

    :param images: each URI at most once.
    :param table: earlier results; if None, no image is skipped.
    :param recheck_after: if None, every new run searches all images.
    :param max_images: what is left of the budget; if None, images come in the order of the listing.
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
        self._task = table and table.task
        self._max_images = max_images
        self._latest = now() + CLOCK_SKEW
        self._fresh_since = None if recheck_after is None else now() - recheck_after
        self.listed = 0
        self.earlier = Counts()
        self.finished = 0
        self.unchanged = 0
        self.left_over = 0

    @property
    def skipped(self) -> int:
        return self.finished + self.unchanged

    def __iter__(self) -> Iterator[Image]:
        finished = self._table.committed() if self._table else 0
        if finished:
            log.info("Resuming: skipping %s images finished by earlier attempts", f"{finished:,}")
        if self._max_images is not None:
            yield from self._within(self._max_images)
        else:
            yield from (image for image, _ in self._due())
        log.info(
            "Listed %s images: %s finished by earlier attempts, %s by other tasks of this run, %s unchanged, "
            "%s over max_images",
            *(f"{n:,}" for n in (self.listed, self.earlier.images, self.finished, self.unchanged, self.left_over)),
        )

    def _due(self) -> Iterator[tuple[Image, SearchedImage | None]]:
        for chunk in chunks(self._images):
            self.listed += len(chunk)
            known = self._table.lookup([image.uri for image in chunk]) if self._table else {}
            for image in chunk:
                searched = known.get(image.uri)
                if searched is None or searched.status == "failed":
                    yield image, None
                elif self._is_finished(image, searched):
                    self._count_finished(searched)
                elif self._is_unchanged(image, searched):
                    self.unchanged += 1
                else:
                    yield image, (searched if searched.settled_at < self._latest else None)

    def _is_finished(self, image: Image, searched: SearchedImage) -> bool:
        of_this_run = self._task and (searched.dag_id, searched.run_id) == (self._task.dag_id, self._task.run_id)
        return bool(of_this_run) and (searched.status != "rejected" or searched.etag == image.etag)

    def _count_finished(self, searched: SearchedImage) -> None:
        if self._task and (searched.task_id, searched.map_index) == (self._task.task_id, self._task.map_index):
            self.earlier.add(searched.status, searched.copy_count, searched.match_count)
        else:
            self.finished += 1

    def _is_unchanged(self, image: Image, searched: SearchedImage) -> bool:
        is_fresh = self._fresh_since is not None and self._fresh_since < searched.settled_at < self._latest
        return is_fresh and image.etag is not None and image.etag == searched.etag

    def _within(self, budget: int) -> Iterator[Image]:
        # A heap whose top is the most recent search, the first to drop. The number breaks ties between images.
        waiting: list[tuple[float, int, Image]] = []
        for number, (image, searched) in enumerate(self._due()):
            if searched is not None:
                heappush(waiting, (-searched.settled_at.timestamp(), -number, image))
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
