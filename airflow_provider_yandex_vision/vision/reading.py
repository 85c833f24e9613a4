"""Read images ahead of the requests, in parallel and within a bounded memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue

from airflow_provider_yandex_vision.vision.checks import CheckedImage, Convert, Limits, read_checked
from airflow_provider_yandex_vision.vision.errors import ImageError
from airflow_provider_yandex_vision.vision.messages import Image
from airflow_provider_yandex_vision.vision.pacing import Clock

ASSUMED_BYTES = 512 * 1024
"""What an image is taken to weigh until it is read, where the listing does not say."""

SLOW_READ_SECONDS = 0.003
"""Readers slower than this on average get help from another. Python's threads take turns: one too many only costs."""
SHARE_OF_LAST_READ = 0.1


class Stopped(Exception):
    """The search was closed; the thread that meets this ends."""


class Budget:
    """How many images, and bytes of them, a search may hold at once.

    One image is always let in, however large, so that nothing waits for ever.
    """

    def __init__(self, max_images: int, max_bytes: int) -> None:
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._images = 0
        self._bytes = 0
        self._closed = False
        # Not taken through the condition, whose own enter is Python: a signal that raises there leaves it locked.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self.exhausted = False

    def acquire(self, size: int) -> None:
        """Wait until another image of so many bytes fits. :raises Stopped: the budget was closed."""
        with self._lock:
            while not self._closed and not self._fits(size):
                self.exhausted = True
                self._changed.wait()
            self.exhausted = False
            if self._closed:
                raise Stopped
            self._images += 1
            self._bytes += size

    def release(self, *, images: int = 0, size: int = 0) -> None:
        """Give back; a negative ``size`` takes more, where an image turned out larger than it was said to be."""
        with self._lock:
            self._images -= images
            self._bytes -= size
            if self.exhausted and self._has_room():
                self._changed.notify()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self) -> bool:
        """Enough for several images: whoever waits is not woken for each one that leaves."""
        return self._images * 8 <= self._max_images * 7 and self._bytes * 8 <= self._max_bytes * 7

    def _fits(self, size: int) -> bool:
        return self._images == 0 or (self._images < self._max_images and self._bytes + size <= self._max_bytes)


class Reader:
    """Threads between an iterable of images and whoever wants them checked.

    One thread walks the iterable, up to ``readers`` of them call ``read`` and the checks: as many as it takes.

    :param on_image: takes an image and either what reading it gave or what is wrong with it.
    :param on_end: takes the number of images there were, and the error that ended the iterable early, if any.
    :param on_crash: takes an error that nobody foresaw.
    """

    def __init__(
        self,
        images: Iterable[Image],
        budget: Budget,
        *,
        limits: Limits,
        convert: Convert | None,
        readers: int,
        on_image: Callable[[Image, CheckedImage | ImageError], None],
        on_end: Callable[[int, Exception | None], None],
        on_crash: Callable[[BaseException], None],
        clock: Clock = time.monotonic,
    ) -> None:
        self._images = images
        self._budget = budget
        self._limits = limits
        self._convert = convert
        self._on_image = on_image
        self._on_end = on_end
        self._on_crash = on_crash
        self._clock = clock
        self._listed: SimpleQueue[Image | None] = SimpleQueue()
        self._average = 0.0
        self._stopped = False
        self.handed_out = 0
        self._max_readers = readers
        self._widening = threading.RLock()  # a signal may have stop() called in the middle of widen()
        self.threads = [threading.Thread(target=self._walk, name="vision-list", daemon=True)]

    def start(self) -> None:
        self.threads[0].start()
        self.widen()

    def widen(self) -> None:
        """Start one more reader, where there may be one more."""
        with self._widening:
            number = len(self.threads)
            if number <= self._max_readers and not self._stopped:
                thread = threading.Thread(target=self._read, name=f"vision-read-{number}", daemon=True)
                self.threads.append(thread)
                thread.start()

    def stop(self) -> None:
        """Let every thread end after what it is doing now."""
        self._budget.close()
        with self._widening:
            self._stopped = True
        for _ in self.threads[1:]:
            self._listed.put(None)

    def _walk(self) -> None:
        count, error = 0, None
        try:
            for image in self._images:
                self._budget.acquire(held_bytes(image))
                count += 1
                self.handed_out = count
                self._listed.put(image)
        except Stopped:
            return
        except Exception as raised:
            error = raised
        except BaseException as crash:
            self._on_crash(crash)
            return
        self._on_end(count, error)

    def _read(self) -> None:
        while (image := self._listed.get()) is not None:
            started = self._clock()
            try:
                outcome: CheckedImage | ImageError = read_checked(image, self._limits, self._convert)
            except ImageError as error:
                outcome = error
            except BaseException as crash:
                self._on_crash(crash)
                return
            self._on_image(image, outcome)
            self._average += (self._clock() - started - self._average) * SHARE_OF_LAST_READ
            if self._average > SLOW_READ_SECONDS:
                self.widen()


def held_bytes(image: Image) -> int:
    return ASSUMED_BYTES if image.size is None else image.size
