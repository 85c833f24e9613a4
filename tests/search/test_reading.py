from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import count
from queue import SimpleQueue
from types import FrameType
from typing import Any

import pytest

from airflow_provider_yandex_vision.search.prepare import PreparedImage, Limits
from airflow_provider_yandex_vision.vision.errors import ImageUnreadableError
from airflow_provider_yandex_vision.vision.models import Image
from airflow_provider_yandex_vision.search.pacing import Clock
from airflow_provider_yandex_vision.search.reading import ASSUMED_BYTES, Budget, Reader, Stopped, held_bytes
from tests.support.pictures import image, images

SECONDS = 5.0


class Reading:
    """A reader and everything it had to say."""

    def __init__(
        self, source: Iterator[Image], budget: Budget, readers: int = 3, clock: Clock = time.monotonic
    ) -> None:
        self.read: SimpleQueue[tuple[Image, Any]] = SimpleQueue()
        self.ended: SimpleQueue[tuple[int, Exception | None]] = SimpleQueue()
        self.crashed: SimpleQueue[BaseException] = SimpleQueue()
        self.reader = Reader(
            source,
            budget,
            limits=Limits(),
            convert=None,
            readers=readers,
            on_image=lambda image, outcome: self.read.put((image, outcome)),
            on_end=lambda count, error: self.ended.put((count, error)),
            on_crash=self.crashed.put,
            clock=clock,
        )
        self.reader.start()

    def stop(self) -> None:
        self.reader.stop()
        for thread in self.reader.threads:
            thread.join(SECONDS)
        assert not any(thread.is_alive() for thread in self.reader.threads)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def begin(call: Callable[..., None], *args: Any) -> Future[None]:
    """Call in a thread that keeps no test from ending, should it wait for ever."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            call(*args)
        except Exception as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, daemon=True).start()
    return done


def interrupted(moment: int, call: Callable[[], None]) -> bool:
    """Call, with an exception as of a signal at a moment of those when Python looks for one: as a function begins,
    and after a call of one in C. :return: False where it was over before."""

    def count_down(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal moment
        if frame.f_code.co_filename in files and event in ("call", "c_return"):
            moment -= 1
        if not moment:
            sys.setprofile(None)
            raise KeyboardInterrupt

    files = (Budget.release.__code__.co_filename, threading.__file__)  # and not those of a finalizer
    profile = sys.getprofile()
    sys.setprofile(count_down)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(profile)
    return False


def plenty() -> Budget:
    return Budget(1000, 10**9)


def raising(error: BaseException) -> Image:
    def read() -> bytes:
        raise error

    return Image("memory://bad", read)


class TestBudget:
    @pytest.mark.parametrize(
        ("budget", "held"), [(Budget(2, 10**9), [1, 1]), (Budget(100, 1000), [600, 400])], ids=["images", "bytes"]
    )
    def test_lets_in_no_more_than_fits(self, budget: Budget, held: list[int]) -> None:
        for size in held:
            begin(budget.acquire, size).result(SECONDS)
        waiting = begin(budget.acquire, 100)
        eventually(lambda: budget.exhausted)
        assert not waiting.done()
        budget.release(images=1, size=held[0])
        waiting.result(SECONDS)
        assert not budget.exhausted

    def test_lets_in_one_image_however_large(self) -> None:
        begin(Budget(1, 10).acquire, 1000).result(SECONDS)

    def test_takes_more_where_an_image_turned_out_larger(self) -> None:
        budget = Budget(100, 1000)
        budget.acquire(100)
        budget.release(size=100 - 950)
        waiting = begin(budget.acquire, 100)
        eventually(lambda: budget.exhausted)
        assert not waiting.done()
        budget.release(images=1, size=950)
        waiting.result(SECONDS)

    def test_wakes_whoever_waits_only_when_there_is_room_for_several(self) -> None:
        budget = Budget(16, 10**9)
        for _ in range(16):
            budget.acquire(1)
        waiting = begin(budget.acquire, 1)
        eventually(lambda: budget.exhausted)
        budget.release(images=1, size=1)
        time.sleep(0.05)
        assert not waiting.done()
        budget.release(images=1, size=1)
        waiting.result(SECONDS)

    def test_once_closed_lets_nobody_in_and_nobody_wait(self) -> None:
        budget = Budget(1, 10)
        budget.acquire(1)
        waiting = [begin(budget.acquire, 1) for _ in range(2)]
        eventually(lambda: budget.exhausted)
        budget.close()
        assert all(isinstance(one.exception(SECONDS), Stopped) for one in waiting)
        with pytest.raises(Stopped):
            budget.acquire(0)

    def test_a_signal_at_any_moment_of_a_release_leaves_nobody_waiting(self) -> None:
        for moment in count(1):
            budget = Budget(1, 10)
            budget.acquire(1)
            waiting = begin(budget.acquire, 1)
            eventually(partial(getattr, budget, "exhausted"))
            if not interrupted(moment, partial(budget.release, images=1, size=1)):
                break
            budget.close()
            assert isinstance(waiting.exception(SECONDS), Stopped | None)
        assert moment > 3


def test_a_signal_that_stops_a_reader_just_as_it_starts_another_stops_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Reading(images(0), plenty())
    start = threading.Thread.start

    def signalled(thread: threading.Thread) -> None:
        if thread.name.startswith("vision-"):
            reading.reader.stop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", signalled)
    begin(reading.reader.widen).result(SECONDS)
    assert len(reading.reader.threads) == 3
    eventually(lambda: not any(thread.is_alive() for thread in reading.reader.threads))


def test_every_image_is_read_once_and_the_end_is_told() -> None:
    reading = Reading(images(50), plenty())
    assert reading.ended.get(timeout=SECONDS) == (50, None)
    read = [reading.read.get(timeout=SECONDS) for _ in range(50)]
    assert {image.uri for image, _ in read} == {f"memory://{number}" for number in range(50)}
    assert all(isinstance(outcome, PreparedImage) and outcome.image is image for image, outcome in read)
    assert reading.reader.handed_out == 50
    reading.stop()


@pytest.mark.parametrize(("seconds", "readers"), [(0.001, 1), (0.1, 5)])
def test_slow_reads_get_help_from_more_readers_and_quick_ones_do_not(seconds: float, readers: int) -> None:
    now = 0.0

    def read() -> bytes:
        nonlocal now
        now += seconds
        return b""

    reading = Reading((Image(f"memory://{n}", read) for n in range(50)), plenty(), readers=5, clock=lambda: now)
    for _ in range(50):
        reading.read.get(timeout=SECONDS)
    eventually(lambda: len(reading.reader.threads) == 1 + readers)
    reading.stop()


def test_an_image_that_cannot_be_read_costs_only_itself() -> None:
    reading = Reading(iter([image("memory://a"), raising(OSError("no")), image("memory://b")]), plenty(), readers=1)
    outcomes = {read.uri: outcome for read, outcome in (reading.read.get(timeout=SECONDS) for _ in range(3))}
    assert isinstance(outcomes.pop("memory://bad"), ImageUnreadableError)
    assert all(isinstance(outcome, PreparedImage) for outcome in outcomes.values())
    reading.stop()


def test_images_are_listed_no_further_than_the_budget_goes() -> None:
    listed = []

    def listing() -> Iterator[Image]:
        for number in range(100):
            listed.append(number)
            yield image(f"memory://{number}")

    budget = Budget(4, 10**9)
    reading = Reading(listing(), budget)
    for _ in range(4):
        reading.read.get(timeout=SECONDS)
    eventually(lambda: budget.exhausted)
    assert len(listed) == 5
    assert reading.reader.handed_out == 4
    reading.stop()


def test_an_error_of_the_listing_is_told_with_the_images_before_it() -> None:
    def listing() -> Iterator[Image]:
        yield image("memory://a")
        raise PermissionError("no listing")

    reading = Reading(listing(), plenty())
    count, error = reading.ended.get(timeout=SECONDS)
    assert (count, str(error)) == (1, "no listing")
    reading.stop()


@pytest.mark.parametrize("crash", [SystemExit(1), KeyboardInterrupt()])
def test_a_crash_while_reading_is_told(crash: BaseException) -> None:
    reading = Reading(iter([raising(crash)]), plenty(), readers=1)
    assert reading.crashed.get(timeout=SECONDS) is crash
    reading.stop()


def test_a_crash_while_listing_is_told() -> None:
    crash = SystemExit(1)

    def listing() -> Iterator[Image]:
        yield image("memory://a")
        raise crash

    reading = Reading(listing(), plenty())
    assert reading.crashed.get(timeout=SECONDS) is crash
    assert reading.ended.empty()
    reading.stop()


def test_a_stopped_reader_finishes_what_it_does_and_nothing_more() -> None:
    begun, go_on = threading.Event(), threading.Event()
    read = []

    def slow() -> bytes:
        read.append(1)
        begun.set()
        go_on.wait(SECONDS)
        return b""

    reading = Reading((Image(f"memory://{number}", slow) for number in range(10)), Budget(2, 10**9), readers=1)
    assert begun.wait(SECONDS)
    reading.reader.stop()
    go_on.set()
    reading.stop()
    assert len(read) <= 2
    assert reading.ended.empty()


@pytest.mark.parametrize(("size", "held"), [(None, ASSUMED_BYTES), (0, 0), (7, 7)])
def test_an_image_weighs_what_the_listing_says(size: int | None, held: int) -> None:
    assert held_bytes(Image("memory://a", bytes, size)) == held
