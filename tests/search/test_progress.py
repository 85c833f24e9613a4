from __future__ import annotations

import logging

import pytest

from airflow_provider_yandex_vision.search.pacing import Pacer
from airflow_provider_yandex_vision.search.progress import Counts, Progress
from airflow_provider_yandex_vision.vision.models import Status


class Time:
    now = 1000.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pacer(time: Time) -> Pacer:
    return Pacer(10, clock=time.clock, sleep=time.sleep, random=lambda: 0.5)


@pytest.fixture
def counts() -> Counts:
    counts = Counts()
    statuses: list[tuple[Status, int]] = [("found", 120), ("none", 75), ("rejected", 3), ("failed", 2)]
    for status, times in statuses:
        for _ in range(times):
            counts.add(status, 1 if status == "found" else None, None)
    counts.requests, counts.bytes_sent = 25, 2_500_000
    return counts


@pytest.fixture
def progress(counts: Counts, pacer: Pacer, time: Time) -> Progress:
    return Progress(counts, pacer, clock=time.clock)


def test_results_are_counted_by_status() -> None:
    counts = Counts()
    counts.add("found", 1300, 2)
    counts.add("none", 0, 0)
    counts.add("failed", None, None)
    assert (counts.images, counts.found, counts.none, counts.rejected, counts.failed) == (3, 1, 1, 0, 1)
    assert (counts.copies, counts.matches) == (1300, 2)


def test_line_tells_progress_rate_and_time_left(progress: Progress, time: Time) -> None:
    progress.total = 1200
    time.now += 20
    assert progress.line() == (
        "200 of 1,200 images, 10.0/s, 25 requests, 2 failed, 3 rejected, 2.5 MB sent, 0:01:40 left"
    )


def test_line_has_no_time_left_while_the_total_is_unknown(progress: Progress, time: Time) -> None:
    time.now += 20
    assert progress.line() == "200 images, 10.0/s, 25 requests, 2 failed, 3 rejected, 2.5 MB sent"


def test_first_line_has_no_division_by_zero(progress: Progress) -> None:
    progress.total = 1200
    assert progress.line().startswith("200 of 1,200 images, 0.0/s")


def test_throttled_search_says_when_it_continues(progress: Progress, pacer: Pacer, time: Time) -> None:
    pacer.throttled(pacer.wait(), 40.0)
    assert "throttled: next request at " in progress.line()
    assert progress.line().endswith(f" UTC, in {pacer.pause_left:.0f} s")


def test_line_is_logged_every_ten_seconds(progress: Progress, time: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(100):
        time.now += 0.5
        progress.tick()
    assert len(caplog.messages) == 5


def test_last_line_says_how_long_it_took(progress: Progress, time: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress.total = 200
    time.now += 3725
    progress.finish()
    [line] = caplog.messages
    assert line.startswith("Done: 200 of 200 images")
    assert line.endswith(", in 1:02:05")
