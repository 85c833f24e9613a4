from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import pytest

from airflow_provider_yandex_vision.search.workers import Stop, Stopped, Workers
from tests.support.fake_service import eventually

SECONDS = 5.0


@pytest.fixture
def outcomes() -> SimpleQueue[Any]:
    return SimpleQueue()


def cannot_start(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


class TestWorkers:
    def test_each_job_runs_once_and_its_outcome_is_queued(self, outcomes: SimpleQueue[Any]) -> None:
        workers = Workers("test", 3, outcomes)
        for number in range(50):
            workers.submit(lambda number=number: number)  # type: ignore[misc]
            workers.grow()
        assert sorted(outcomes.get(timeout=SECONDS) for _ in range(50)) == list(range(50))
        workers.close()
        assert workers.join(SECONDS)
        assert outcomes.empty()

    def test_no_thread_starts_before_the_first_job(self, outcomes: SimpleQueue[Any]) -> None:
        assert len(Workers("test", 3, outcomes)) == 0

    def test_threads_grow_up_to_the_limit(self, outcomes: SimpleQueue[Any]) -> None:
        workers = Workers("test", 2, outcomes)
        for _ in range(5):
            workers.grow()
        assert len(workers) == 2
        workers.close()
        assert workers.join(SECONDS)

    def test_closed_workers_finish_their_job_and_start_no_other(self, outcomes: SimpleQueue[Any]) -> None:
        begun, go_on = threading.Event(), threading.Event()
        started: list[int] = []

        def job() -> None:
            started.append(1)
            begun.set()
            go_on.wait(SECONDS)

        workers = Workers("test", 1, outcomes)
        for _ in range(10):
            workers.submit(job)
        assert begun.wait(SECONDS)
        workers.close()
        assert not workers.join(0.01)
        go_on.set()
        assert workers.join(SECONDS)
        assert started == [1]

    def test_thread_that_starts_during_close_ends_too(
        self, outcomes: SimpleQueue[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workers = Workers("test", 3, outcomes)
        start = threading.Thread.start

        def start_after_close(thread: threading.Thread) -> None:
            workers.close()
            start(thread)

        workers.grow()
        monkeypatch.setattr(threading.Thread, "start", start_after_close)
        workers.grow()
        assert workers.join(SECONDS)

    def test_thread_that_cannot_start_is_not_counted_on(
        self, outcomes: SimpleQueue[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workers = Workers("test", 3, outcomes)
        start = threading.Thread.start
        monkeypatch.setattr(threading.Thread, "start", cannot_start)
        with pytest.raises(RuntimeError, match="can't start"):
            workers.submit(lambda: 1)
        assert len(workers) == 0
        monkeypatch.setattr(threading.Thread, "start", start)
        workers.submit(lambda: 2)
        monkeypatch.setattr(threading.Thread, "start", cannot_start)
        workers.grow()
        assert len(workers) == 1
        assert [outcomes.get(timeout=SECONDS) for _ in range(2)] == [1, 2]
        workers.close()
        assert workers.join(SECONDS)

    def test_threads_are_daemons_so_that_none_delays_exit(self, outcomes: SimpleQueue[Any]) -> None:
        workers = Workers("daemon", 1, outcomes)
        workers.submit(threading.current_thread)
        assert outcomes.get(timeout=SECONDS).daemon
        workers.close()
        eventually(lambda: workers.join(0))


class TestStop:
    def test_first_error_is_the_one_that_counts(self) -> None:
        stop, first = Stop(), ValueError("first")
        stop.drain(first)
        stop.drain(ValueError("second"))
        assert stop.stopping
        assert stop.error is first

    @pytest.mark.parametrize("end", [Stop.close, lambda stop: stop.drain(ValueError())])
    def test_sleep_is_interrupted_by_the_end(self, end: Any) -> None:
        stop = Stop()
        stop.sleep(0.001)
        threading.Timer(0.05, end, [stop]).start()
        with pytest.raises(Stopped):
            stop.sleep(30)

    def test_sleep_of_no_time_notices_the_end(self) -> None:
        stop = Stop(wait=lambda event, seconds: False)
        stop.sleep(0)
        stop.close()
        with pytest.raises(Stopped):
            stop.sleep(0)
