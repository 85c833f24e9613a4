"""Images listed and read ahead of the requests, within a bounded memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Any

from airflow_provider_yandex_vision.search.pacing import Clock
from airflow_provider_yandex_vision.search.running import Read, ReadJob, RunningReads
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.search.workers import Workers
from airflow_provider_yandex_vision.vision.errors import ImageError
from airflow_provider_yandex_vision.vision.models import Image, PreparedImage

ASSUMED_BYTES = 512 * 1024
"""Size of an image until it is read, if the listing does not tell."""

SLOW_READ_SECONDS = 0.003
"""If reads are slower than this on average, another thread helps. Fast ones would only take turns at Python's lock."""
SHARE_OF_LAST_READ = 0.1


@dataclass(frozen=True, slots=True)
class Listed:
    """A job has listed as many images as it was asked for, or all of them. ``error`` ended the listing early."""

    ended: bool
    error: BaseException | None = None


class Held:
    """What a search holds in memory. One image always fits, however large, so that nothing waits for ever."""

    def __init__(self, max_images: int, max_bytes: int) -> None:
        self.images = 0
        self.bytes = 0
        self._max_images = max_images
        self._max_bytes = max_bytes

    def fits(self, size: int) -> bool:
        return self.bytes == 0 or self.bytes + size <= self._max_bytes

    @property
    def room(self) -> tuple[int, int]:
        """Images and bytes to list next; none until there is room for several."""
        images, size = self._max_images - self.images, self._max_bytes - self.bytes
        enough = images * 8 >= self._max_images and size * 8 >= self._max_bytes
        return (images, size) if enough or not self.images else (0, 0)


class Reading:
    """Has workers list and read images, as far as memory allows. Only the consuming thread uses it.

    :param outcomes: gets each listed :class:`Image`, :class:`Listed` and :class:`Read`.
    """

    def __init__(
        self,
        images: Iterable[Image],
        prepare: Callable[[Image], PreparedImage],
        settings: Settings,
        outcomes: SimpleQueue[Any],
        clock: Clock = time.monotonic,
    ) -> None:
        self.listed = 0
        self.ended = False
        self.held = Held(settings.max_held_images, settings.max_held_bytes)
        self.listers = Workers("list", 1, outcomes)
        self.readers = Workers("read", settings.max_concurrent_reads, outcomes)
        self._images = iter(images)
        self._prepare = prepare
        self._max_read_bytes = settings.max_read_bytes
        self._outcomes = outcomes
        self._clock = clock
        self._waiting: deque[Image] = deque()
        self._listing = False
        self._max_reads = settings.max_concurrent_reads
        self._running = RunningReads(settings, clock)
        self._average_seconds = 0.0

    @property
    def idle(self) -> bool:
        """Whether no image is going to come before memory is released."""
        return not (self._listing or self._running)

    @property
    def exhausted(self) -> bool:
        """Whether no image is going to come at all."""
        return self.idle and self.ended and not self._waiting

    def start_jobs(self) -> None:
        for read in self._running.give_up():
            self._outcomes.put(read)
            self._set_threads()
        while self._waiting and self.held.fits(self._held_bytes(self._waiting[0])):
            image = self._waiting.popleft()
            self.held.bytes += self._held_bytes(image)
            self.readers.submit(partial(self._read, self._running.add(image)))
        images, size = self.held.room
        if images and not (self._waiting or self._listing or self.ended):
            self._listing = True
            self.listers.submit(partial(self._list, images, size))

    def take_image(self, image: Image) -> None:
        self.listed += 1
        self.held.images += 1
        self._waiting.append(image)

    def take_listed(self, listed: Listed) -> None:
        self._listing = False
        self.ended = listed.ended

    def take_read(self, read: Read) -> bool:
        """:return: False if it comes too late, and the image has its outcome already."""
        if not self._running.remove(read.job):
            self._set_threads()
            return False
        size = read.outcome.size if isinstance(read.outcome, PreparedImage) else 0
        self.held.bytes += size - self._held_bytes(read.image)
        self._average_seconds += (read.seconds - self._average_seconds) * SHARE_OF_LAST_READ
        if self._average_seconds > SLOW_READ_SECONDS:
            self.readers.grow()
        return True

    def take_silence(self) -> None:
        """Nothing happened for a while: perhaps a read hangs, and the others must not wait for it."""
        if self._running:
            self.readers.grow()
            self._running.log_slow()

    def _set_threads(self) -> None:
        """Those that hang do not count."""
        self.readers.max_threads = self._max_reads + len(self._running.hanging)
        self.readers.grow()

    def _list(self, max_images: int, max_bytes: int) -> Listed:
        try:
            for image in islice(self._images, max_images):
                self._outcomes.put(image)
                max_images -= 1
                max_bytes -= self._held_bytes(image)
                if max_bytes <= 0:
                    return Listed(ended=False)
        except BaseException as error:
            return Listed(True, error)
        return Listed(ended=max_images > 0)

    def _read(self, job: ReadJob) -> Read:
        job.started = started = self._clock()
        try:
            outcome: PreparedImage | BaseException = self._prepare(job.image)
        except ImageError as error:
            # The traceback would keep the content in memory, and form a cycle with this frame.
            outcome = error.with_traceback(None)
            outcome.__cause__ = outcome.__context__ = None
        except BaseException as error:
            outcome = error
        return Read(job, outcome, self._clock() - started)

    def _held_bytes(self, image: Image) -> int:
        """What a listed image is going to hold; nothing if it is too large to be read."""
        if image.size is None:
            return ASSUMED_BYTES
        return image.size if image.size <= self._max_read_bytes else 0
