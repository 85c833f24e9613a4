from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from airflow_provider_yandex_vision.search.reading import ASSUMED_BYTES, Held, Listed, Reading
from airflow_provider_yandex_vision.search.running import Read
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import Image, PreparedImage
from airflow_provider_yandex_vision.vision.errors import ImageUnreadableError, StorageError
from tests.support.pictures import image, images

SECONDS = 5.0


class Harness:
    """A :class:`Reading` and the one thread that uses it."""

    def __init__(self, source: Iterable[Image], clock: Any = lambda: 0.0, **given: Any) -> None:
        self.outcomes: SimpleQueue[Any] = SimpleQueue()
        self.reading = Reading(source, self.prepare, Settings(**given), self.outcomes, clock)
        self.read: list[Read] = []
        self.error: BaseException | None = None

    @staticmethod
    def prepare(image: Image) -> PreparedImage:
        content = image.read()
        return PreparedImage(image.uri, b"", image.uri, len(content), "image/png", None)

    def run(self, *, reads: int | None = None) -> None:
        """Until everything is read or, with ``reads``, that many images are."""
        self.reading.start_jobs()
        while not self.reading.exhausted and (reads is None or len(self.read) < reads):
            self.take_one(release=reads is None)

    def take_one(self, *, release: bool) -> None:
        match self.outcomes.get(timeout=SECONDS):
            case Image() as image:
                self.reading.take_image(image)
            case Listed() as listed:
                self.reading.take_listed(listed)
                self.error = listed.error
            case Read() as read:
                if self.reading.take_read(read):
                    self.read.append(read)
                    if release:
                        self.release(read)
        self.reading.start_jobs()

    def release(self, read: Read) -> None:
        self.reading.held.images -= 1
        self.reading.held.bytes -= read.outcome.size if isinstance(read.outcome, PreparedImage) else 0

    def stop(self) -> None:
        for workers in (self.reading.listers, self.reading.readers):
            workers.close()
            assert workers.join(SECONDS)


def raising(error: BaseException) -> Image:
    def read() -> bytes:
        raise error

    return Image("memory://bad", read)


def test_every_image_is_read_once() -> None:
    harness = Harness(images(50))
    harness.run()
    assert sorted(read.image.uri for read in harness.read) == sorted(f"memory://{number}" for number in range(50))
    assert harness.reading.listed == 50
    assert (harness.reading.held.images, harness.reading.held.bytes) == (0, 0)
    harness.stop()


@pytest.mark.parametrize(("seconds", "threads"), [(0.001, 1), (0.1, 5)])
def test_slow_reads_get_more_threads_and_fast_ones_do_not(seconds: float, threads: int) -> None:
    now = 0.0

    def read() -> bytes:
        nonlocal now
        now += seconds
        return b""

    source = (Image(f"memory://{number}", read, 1) for number in range(50))
    harness = Harness(source, lambda: now, max_concurrent_reads=5)
    harness.run()
    assert len(harness.reading.readers) == threads
    harness.stop()


def test_silence_gets_another_thread_only_while_a_read_is_pending() -> None:
    harness = Harness(images(1))
    harness.reading.take_silence()
    assert len(harness.reading.readers) == 0
    harness.run()
    harness.stop()


@pytest.mark.parametrize("error", [OSError("no"), ImageUnreadableError("gone"), SystemExit(1), KeyboardInterrupt()])
def test_error_of_a_read_is_its_outcome(error: BaseException) -> None:
    harness = Harness([image("memory://a"), raising(error), image("memory://b")], max_concurrent_reads=1)
    harness.run()
    outcomes = {read.image.uri: read.outcome for read in harness.read}
    assert outcomes.pop("memory://bad") is error
    assert all(isinstance(outcome, PreparedImage) for outcome in outcomes.values())
    harness.stop()


def test_rejected_content_is_released_at_once() -> None:
    class Tracked:
        """Stands for the content: a weak reference can point to it."""

    kept: list[weakref.ref[Tracked]] = []

    def reject() -> bytes:
        content = Tracked()
        kept.append(weakref.ref(content))
        try:
            raise ValueError
        except ValueError as error:
            raise ImageUnreadableError("broken") from error

    harness = Harness([Image("memory://a", reject)])
    gc.disable()
    try:
        harness.run()
        harness.stop()
        assert harness.read[0].outcome
        assert kept[0]() is None
    finally:
        gc.enable()


class Hanging:
    """Images whose reads do not end before :meth:`go_on`, and a clock that this makes go."""

    def __init__(self) -> None:
        self.now = 0.0
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()

    def image(self, name: object) -> Image:
        return Image(f"memory://hangs/{name}", self.read, 1)

    def read(self) -> bytes:
        self.begun.release()
        assert self.go_on.wait(SECONDS)
        return b""

    def wait(self, harness: Harness, count: int) -> None:
        """Until so many reads hang for longer than they may."""
        harness.reading.start_jobs()
        while not harness.reading.ended:
            harness.take_one(release=False)
        for _ in range(count):
            assert self.begun.acquire(timeout=SECONDS)
        self.now += 11


def test_read_that_hangs_is_given_up_and_costs_only_itself() -> None:
    hanging = Hanging()
    source = [hanging.image(1), image("memory://a"), image("memory://b")]
    harness = Harness(source, lambda: hanging.now, max_concurrent_reads=1, max_read_seconds=10)
    hanging.wait(harness, 1)
    harness.run()
    outcomes = {read.image.uri: read.outcome for read in harness.read}
    error = outcomes.pop("memory://hangs/1")
    assert isinstance(error, ImageUnreadableError)
    assert (error.code, error.message) == ("TIMEOUT", "no content after 11 seconds")
    assert sorted(outcomes) == ["memory://a", "memory://b"]
    hanging.go_on.set()
    assert not harness.reading.take_read(harness.outcomes.get(timeout=SECONDS))
    assert (harness.reading.held.images, harness.reading.held.bytes) == (0, 0)
    harness.stop()


def test_storage_that_hangs_ends_the_run() -> None:
    hanging = Hanging()
    harness = Harness(map(hanging.image, range(9)), lambda: hanging.now, max_concurrent_reads=2, max_read_seconds=10)
    for count in (1, 1, 1):
        hanging.wait(harness, count)
        harness.run(reads=len(harness.read) + 1)
    codes = [getattr(read.outcome, "code", type(read.outcome)) for read in harness.read]
    assert codes == ["TIMEOUT", "TIMEOUT", StorageError]
    assert str(harness.read[-1].outcome).startswith("the storage hangs: 3 reads do not end")
    hanging.go_on.set()
    harness.stop()


def test_log_names_what_takes_long_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setLevel(logging.INFO)
    hanging = Hanging()
    harness = Harness([hanging.image("x\n")], lambda: hanging.now)
    hanging.wait(harness, 1)
    for _ in range(7):
        hanging.now += 10
        harness.reading.take_silence()
    assert [record.getMessage() for record in caplog.records] == [
        "Reading memory://hangs/x\\n has taken 31 s so far",
        "Reading memory://hangs/x\\n has taken 61 s so far",
    ]
    hanging.go_on.set()
    harness.stop()


@pytest.mark.parametrize("error", [PermissionError("no listing"), SystemExit(1)])
def test_error_of_the_listing_comes_with_the_images_before_it(error: BaseException) -> None:
    def listing() -> Iterator[Image]:
        yield image("memory://a")
        raise error

    harness = Harness(listing())
    harness.run()
    assert harness.error is error
    assert [read.image.uri for read in harness.read] == ["memory://a"]
    harness.stop()


@pytest.mark.parametrize(
    ("size", "limits", "most"),
    [(1, {"max_held_images": 4}, 4), (100, {"max_held_bytes": 400}, 4), (250, {"max_held_bytes": 400}, 2)],
)
def test_listing_stops_when_memory_is_full(size: int, limits: dict[str, int], most: int) -> None:
    listed: list[int] = []

    def listing() -> Iterator[Image]:
        for number in range(100):
            listed.append(number)
            yield Image(f"memory://{number}", lambda: b"x" * size, size)

    harness = Harness(listing(), **limits)
    fits = min(most, 400 // size)
    harness.run(reads=fits)
    assert harness.reading.held.bytes <= 400
    assert harness.reading.held.bytes == fits * size
    while not harness.reading.idle:
        outcome = harness.outcomes.get(timeout=SECONDS)
        if isinstance(outcome, Image):
            harness.reading.take_image(outcome)
        else:
            harness.reading.take_listed(outcome)
        harness.reading.start_jobs()
    assert len(listed) == most
    assert not harness.reading.exhausted
    harness.stop()


class TestHeld:
    def test_image_fits_into_what_is_left(self) -> None:
        held = Held(100, 1000)
        held.bytes = 600
        assert held.fits(400)
        assert not held.fits(401)

    def test_first_image_fits_however_large_it_is(self) -> None:
        assert Held(1, 10).fits(1000)

    @pytest.mark.parametrize(
        ("images", "size", "room"), [(0, 0, (16, 800)), (14, 700, (2, 100)), (15, 0, (0, 0)), (1, 701, (0, 0))]
    )
    def test_there_is_no_room_before_there_is_room_for_several(
        self, images: int, size: int, room: tuple[int, int]
    ) -> None:
        held = Held(16, 800)
        held.images, held.bytes = images, size
        assert held.room == room


@pytest.mark.parametrize(("size", "held"), [(None, ASSUMED_BYTES), (0, 0), (7, 7), (100, 100), (101, 0)])
def test_image_holds_the_bytes_that_the_listing_says_unless_it_is_too_large_to_be_read(
    size: int | None, held: int
) -> None:
    harness = Harness([], max_image_bytes=100)
    harness.reading.take_image(Image("memory://a", bytes, size))
    harness.reading.start_jobs()
    assert harness.reading.held.bytes == held
    harness.stop()
