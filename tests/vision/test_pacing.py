"""Waiting is proved with a clock of our own: these tests take milliseconds and pass minutes."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from airflow_provider_yandex_vision.vision.pacing import Backoff, Pacer


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def pacer_of(time: Time, rate: float, jitter: Callable[[], float] = lambda: 0.5) -> Pacer:
    return Pacer(rate, clock=time.clock, sleep=time.sleep, random=jitter)


def test_requests_go_evenly_at_the_configured_rate(time: Time) -> None:
    pacer = pacer_of(time, 10)
    sent = [pacer.wait() for _ in range(101)]
    assert sent[-1] - sent[0] == pytest.approx(10.0, abs=0.1)
    assert min(later - earlier for earlier, later in pairwise(sent)) > 0.04


def test_an_idle_time_is_not_made_up_for_with_a_burst(time: Time) -> None:
    pacer = pacer_of(time, 10)
    pacer.wait()
    time.sleep(60)
    sent = [pacer.wait() for _ in range(10)]
    assert sent[-1] - sent[0] >= 0.8


def test_a_sleep_that_overshoots_does_not_cost_rate(time: Time) -> None:
    def oversleep(seconds: float) -> None:
        time.now += seconds + 0.02

    pacer = Pacer(10, clock=time.clock, sleep=oversleep)
    sent = [pacer.wait() for _ in range(101)]
    assert sent[-1] - sent[0] == pytest.approx(10.0, rel=0.02)


def test_throttling_pauses_everybody_for_as_long_as_the_service_asked(time: Time) -> None:
    pacer = pacer_of(time, 10)
    pacer.throttled(pacer.wait(), retry_after=7)
    assert pacer.pause_left == 7
    before = time.now
    pacer.wait()
    assert time.now - before >= 7


def test_a_retry_after_of_hours_is_cut(time: Time) -> None:
    pacer = pacer_of(time, 10)
    pacer.throttled(pacer.wait(), retry_after=36_000)
    assert pacer.pause_left == 120


def test_without_retry_after_the_pause_is_full_jitter_that_grows(time: Time) -> None:
    pacer = pacer_of(time, 10, jitter=lambda: 1.0)
    pauses = []
    for _ in range(4):
        pacer.throttled(pacer.wait())
        pauses.append(pacer.pause_left)
    assert pauses == [0.5, 1.0, 2.0, 4.0]


def test_a_success_ends_the_growth_of_pauses(time: Time) -> None:
    pacer = pacer_of(time, 10, jitter=lambda: 1.0)
    for _ in range(3):
        pacer.throttled(pacer.wait())
    pacer.succeeded(pacer.wait())
    pacer.throttled(pacer.wait())
    assert pacer.pause_left == 0.5


def test_requests_throttled_together_cut_the_rate_once(time: Time) -> None:
    pacer = pacer_of(time, 10)
    together = [pacer.wait() for _ in range(8)]
    news = [pacer.throttled(sent_at) for sent_at in together]
    assert news == [True] + [False] * 7
    assert pacer.requests_per_second == pytest.approx(7.0)


def test_the_rate_comes_back_to_what_was_configured_and_never_above(time: Time) -> None:
    pacer = pacer_of(time, 10)
    pacer.throttled(pacer.wait())
    for _ in range(1000):
        pacer.succeeded(pacer.wait())
    assert pacer.requests_per_second == 10


def test_the_rate_comes_back_slowly(time: Time) -> None:
    pacer = pacer_of(time, 10)
    pacer.throttled(pacer.wait())
    started = time.now
    while time.now - started < 10:
        pacer.succeeded(pacer.wait())
    assert 7.2 < pacer.requests_per_second < 8


def test_a_backoff_is_full_jitter_below_an_exponential_bound() -> None:
    lowest, highest = Backoff(1, 30, lambda: 0.0), Backoff(1, 30, lambda: 1.0)
    assert [lowest.delay(attempt) for attempt in (1, 2, 9)] == [0, 0, 0]
    assert [highest.delay(attempt) for attempt in (1, 2, 3, 6, 5000)] == [1, 2, 4, 30, 30]


class Quota:
    """What a service does about too many requests: so many a second, and one second's worth in reserve."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._at = 0.0

    def admits(self, now: float) -> bool:
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        admitted = self._tokens >= 1
        self._tokens -= admitted
        return admitted


class Asleep(Exception):
    pass


def simulate(clients: int, configured: float, quota: float, *, seconds: float = 60.0) -> tuple[float, float]:
    """Clients with 8 threads each and 100 ms of latency. :return: used share of the quota, throttled share."""
    dice = random.Random(1)
    now = 0.0

    def sleep(delay: float) -> None:
        raise Asleep(delay)

    pacers = [Pacer(configured, clock=lambda: now, sleep=sleep, random=dice.random) for _ in range(clients)]
    service = Quota(quota)
    events: list[tuple[float, int, int, tuple[bool, float] | None]] = [
        (0.2 * client, n * clients + client, client, None) for client in range(clients) for n in range(8)
    ]
    order = 8 * clients
    admitted = refused = 0
    heapq.heapify(events)
    while events[0][0] < seconds:
        now, _, client, reply = heapq.heappop(events)
        order += 1
        if reply is not None:
            ok, sent_at = reply
            (pacers[client].succeeded if ok else pacers[client].throttled)(sent_at)
        try:
            sent_at = pacers[client].wait()
        except Asleep as asleep:
            heapq.heappush(events, (now + asleep.args[0] + dice.random() * 0.002, order, client, None))
            continue
        ok = service.admits(now)
        admitted, refused = admitted + ok, refused + (not ok)
        heapq.heappush(events, (now + 0.1, order, client, (ok, sent_at)))
    return admitted / (quota * seconds), refused / (admitted + refused)


@pytest.mark.parametrize(
    ("clients", "configured", "least_used", "most_refused"),
    [(1, 10, 0.95, 0.005), (1, 50, 0.90, 0.05), (4, 10, 0.90, 0.08)],
    ids=["one client at the quota", "one client at five times the quota", "four clients who do not know each other"],
)
def test_a_quota_is_used_in_full_without_a_storm(
    clients: int, configured: float, least_used: float, most_refused: float
) -> None:
    used, refused = simulate(clients, configured, quota=10)
    assert used >= least_used
    assert refused <= most_refused
