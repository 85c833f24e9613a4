from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.vision import Image
from airflow_provider_yandex_vision.vision.errors import SearchStoppedError, ThrottledError
from tests.support.fake_service import FakeService, consume, eventually, search_threads, settings
from tests.support.pictures import image, images, png


def test_close_does_not_wait_for_replies() -> None:
    run = CopySearch(FakeService(latency=30), images(1000), settings())
    batches = run.batches(max_seconds=0.05)
    threading.Timer(0.2, run.close).start()
    started = time.monotonic()
    with pytest.raises(SearchStoppedError):
        next(batches)
    assert time.monotonic() - started < 2
    assert not search_threads()


def test_exception_in_the_consumer_leaves_no_thread() -> None:
    class ConsumerError(Exception):
        pass

    run = CopySearch(FakeService(latency=0.05), images(1000), settings())

    def consume() -> None:
        for _ in run:
            raise ConsumerError

    with pytest.raises(ConsumerError):
        consume()
    run.close()
    assert not search_threads()


def test_consumer_that_stops_stops_the_reading() -> None:
    listed = 0

    def counted() -> Iterator[Image]:
        nonlocal listed
        for each in images(100_000):
            listed += 1
            yield each

    run = iter(CopySearch(FakeService(), counted(), settings(max_held_images=100)))
    next(run)
    run.close()  # type: ignore[attr-defined]
    assert listed <= 201


def test_no_read_begins_after_close() -> None:
    begun: list[float] = []

    def slow(uri: str) -> Image:
        def read() -> bytes:
            begun.append(time.monotonic())
            time.sleep(0.02)
            return png(uri)

        return Image(uri, read, 100)

    run = CopySearch(FakeService(latency=30), map(slow, map(str, range(1000))), settings())
    consumer = threading.Thread(target=consume, args=[run], daemon=True)
    consumer.start()
    eventually(lambda: len(begun) > 50)
    run.close()
    closed_at = time.monotonic()
    consumer.join(2)
    assert not search_threads()
    assert max(begun) <= closed_at


def test_closing_after_a_minute_s_pause_takes_no_minute() -> None:
    service = FakeService(refuse=lambda uris: ThrottledError("wait", retry_after=60))
    run = CopySearch(service, images(8), settings())
    threading.Timer(0.2, run.close).start()
    started = time.monotonic()
    with pytest.raises(SearchStoppedError):
        list(run)
    assert time.monotonic() - started < 2
    assert not search_threads()


def test_request_that_begins_during_close_is_aborted() -> None:
    class Connecting(FakeService):
        """The first abort comes too early for the request, as it does before a connection is made."""

        aborts = 0

        def abort(self) -> None:
            self.aborts += 1
            if self.aborts > 2:
                super().abort()

    run = CopySearch(Connecting(latency=30), images(8), settings())
    threading.Timer(0.1, run.close).start()
    with pytest.raises(SearchStoppedError):
        list(run)
    assert not search_threads()


def test_read_that_hangs_does_not_delay_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_yandex_vision.search.search.SECONDS_TO_STOP", 0.2)
    release = threading.Event()

    def hang() -> bytes:
        release.wait(30)
        return png("late")

    run = CopySearch(FakeService(), [Image("memory://slow", hang), *images(8)], settings())
    results = iter(run)
    assert [next(results).status for _ in range(8)] == ["none"] * 8
    started = time.monotonic()
    run.close()
    assert time.monotonic() - started < 2
    assert len(search_threads()) == 1
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("vision-"))
    release.set()
    eventually(lambda: not search_threads())


def test_listing_that_hangs_does_not_delay_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_yandex_vision.search.search.SECONDS_TO_STOP", 0.2)
    release = threading.Event()

    def listing() -> Iterator[Image]:
        yield image("memory://a")
        release.wait(30)

    run = CopySearch(FakeService(), listing(), settings(linger=0.0))
    assert next(iter(run)).status == "none"
    started = time.monotonic()
    run.close()
    assert time.monotonic() - started < 2
    release.set()
    eventually(lambda: not search_threads())


def test_exception_from_a_signal_stops_the_search() -> None:
    class TaskTimeoutError(Exception):
        """As ``execution_timeout`` raises it."""

    def expire(number: int, frame: object) -> None:
        raise TaskTimeoutError

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    started = time.monotonic()
    with pytest.raises(TaskTimeoutError):
        list(CopySearch(FakeService(latency=30), images(100), settings()))
    signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 2.3
    assert not search_threads()


def test_close_from_a_signal_handler_stops_the_search() -> None:
    run = CopySearch(FakeService(latency=30), images(100), settings())
    before = signal.signal(signal.SIGALRM, lambda number, frame: run.close())
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with pytest.raises(SearchStoppedError):
        list(run)
    signal.signal(signal.SIGALRM, before)
    assert not search_threads()
