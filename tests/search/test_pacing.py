"""Waiting is proved with a simulated clock: these tests cover minutes in milliseconds."""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import combinations, pairwise
from typing import NamedTuple, NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.search.pacing import AdaptiveRate, Backoff, Pacer


class Time:
    """A clock that only sleeping advances."""

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


def test_requests_are_spread_evenly_at_the_configured_rate(time: Time) -> None:
    pacer = pacer_of(time, 10)
    sent = [pacer.wait() for _ in range(101)]
    assert sent[-1] - sent[0] == pytest.approx(10.0, abs=0.1)
    assert min(later - earlier for earlier, later in pairwise(sent)) > 0.04


def test_idle_time_earns_no_burst(time: Time) -> None:
    pacer = pacer_of(time, 10)
    pacer.wait()
    time.sleep(60)
    sent = [pacer.wait() for _ in range(10)]
    assert sent[-1] - sent[0] >= 0.8


def test_new_limit_holds_at_once(time: Time) -> None:
    pacer = pacer_of(time, 0.01)
    first = pacer.wait()
    pacer.limit(10)
    sent = [pacer.wait() for _ in range(100)]
    assert sent[-1] - first == pytest.approx(10.0)
    pacer.limit(1)
    assert pacer.wait() - sent[-1] == pytest.approx(1.0)


def test_limit_of_a_shared_quota_keeps_what_was_learned_of_it(time: Time) -> None:
    pacer = pacer_of(time, 10)
    pacer.throttled(pacer.wait())
    assert pacer.requests_per_second == pytest.approx(5.0)
    pacer.limit(5)
    assert pacer.requests_per_second == pytest.approx(2.5)
    pacer.limit(10)
    assert pacer.requests_per_second == pytest.approx(5.0)


def test_late_wake_up_does_not_lower_the_rate(time: Time) -> None:
    def oversleep(seconds: float) -> None:
        time.now += seconds + 0.02

    pacer = Pacer(10, clock=time.clock, sleep=oversleep)
    sent = [pacer.wait() for _ in range(101)]
    assert sent[-1] - sent[0] == pytest.approx(10.0, rel=0.02)


def test_throttling_pauses_all_callers_as_long_as_asked(time: Time) -> None:
    pacer = pacer_of(time, 10)
    pacer.throttled(pacer.wait(), retry_after=7)
    assert pacer.pause_left == 7
    before = time.now
    pacer.wait()
    assert time.now - before >= 7


def test_caller_that_wakes_sees_what_others_did_meanwhile(time: Time) -> None:
    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if meanwhile:
            meanwhile.pop(0)()

    pacer = Pacer(10, clock=time.clock, sleep=sleep, random=lambda: 0.5)
    sent = [pacer.wait()]
    meanwhile: list[Callable[[], object]] = [
        lambda: pacer.throttled(sent[0], retry_after=7),
        lambda: sent.append(pacer.wait()),
    ]
    sent.append(pacer.wait())
    made_up_for = Pacer.CATCH_UP_SECONDS
    assert [at - sent[0] for at in sent] == pytest.approx([0, 7.1, 7.1 + 1 / 5 - made_up_for])


def test_retry_after_of_hours_is_capped(time: Time) -> None:
    pacer = pacer_of(time, 10)
    pacer.throttled(pacer.wait(), retry_after=36_000)
    assert pacer.pause_left == 120


def test_pause_is_full_jitter_of_one_interval_at_first_and_grows(time: Time) -> None:
    pacer = pacer_of(time, 10, jitter=lambda: 1.0)
    ends = []
    for _ in range(8):
        sent_at = pacer.wait()
        interval = 1 / pacer.requests_per_second
        pacer.throttled(sent_at)
        ends.append(pacer.pause_left - interval)
    assert ends == pytest.approx([0.2, 0.8, 3.2, 12.8, 30, 30, 30, 30], abs=Pacer.CATCH_UP_SECONDS + ROUNDING)


def test_clients_that_met_at_the_service_meet_no_more() -> None:
    """At one rate, requests that come at one moment would come at one moment for ever."""
    moments = []
    for jitter in (0.2, 0.7):
        time = Time()
        pacer = pacer_of(time, 10, jitter=lambda jitter=jitter: jitter)  # type: ignore[misc]
        pacer.throttled(pacer.wait())
        moments.append(pacer.wait())
    assert moments[1] - moments[0] == pytest.approx(0.1)


def test_success_resets_the_pause(time: Time) -> None:
    pacer = pacer_of(time, 10, jitter=lambda: 1.0)
    for _ in range(8):
        pacer.throttled(pacer.wait())
    pacer.succeeded(pacer.wait())
    sent_at = pacer.wait()
    pacer.throttled(sent_at)
    assert pacer.pause_left < 2.1 / pacer.requests_per_second


def test_requests_throttled_together_cut_the_rate_once(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    pacer = pacer_of(time, 10)
    together = [pacer.wait() for _ in range(8)]
    for sent_at in together:
        pacer.throttled(sent_at)
    assert pacer.requests_per_second == pytest.approx(5.0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_rate_recovers_to_the_configured_one_and_no_further(time: Time) -> None:
    pacer = pacer_of(time, 10)
    pacer.throttled(pacer.wait())
    for _ in range(1000):
        pacer.succeeded(pacer.wait())
    assert pacer.requests_per_second == 10


def test_rate_recovers_slowly_at_first(time: Time) -> None:
    pacer = pacer_of(time, 10)
    pacer.throttled(pacer.wait())
    rates = []
    for until in (time.now + 10, time.now + 60):
        while time.now < until:
            pacer.succeeded(pacer.wait())
        rates.append(pacer.requests_per_second)
    assert 5 < rates[0] < 5.2
    assert 8 < rates[1] < 10


class TestAdaptiveRate:
    def test_is_halved_while_nothing_is_accepted(self) -> None:
        rate = AdaptiveRate(100)
        rate.throttled(sent_at=1000, now=1001)
        assert rate.current == pytest.approx(50)
        rate.throttled(sent_at=1002, now=1004)
        assert rate.current == pytest.approx(25)

    def test_is_cut_to_what_was_accepted_of_late(self) -> None:
        rate = AdaptiveRate(100)
        for now in (1000.0, 1000.01, 1000.02, 1000.03):
            rate.succeeded(sent_at=now - 0.1, now=now)
        rate.throttled(sent_at=1000, now=1000.05)
        assert rate.current == pytest.approx(80)

    def test_is_cut_gently_after_it_had_recovered(self) -> None:
        rate = AdaptiveRate(100)
        rate.throttled(sent_at=1000, now=1001)
        rate.succeeded(sent_at=1001.1, now=1001.2)
        before = rate.current
        rate.throttled(sent_at=1002, now=1002.1)
        assert rate.current == pytest.approx(before * 0.97)

    def test_never_falls_below_a_thousandth(self) -> None:
        rate = AdaptiveRate(100)
        for now in range(100):
            rate.throttled(sent_at=now, now=now)
        assert rate.current == 0.1

    def test_grows_the_faster_the_longer_nothing_is_throttled(self) -> None:
        rate = AdaptiveRate(100)
        rate.throttled(sent_at=1000, now=1001)
        grown = []
        for now in (1002.0, 1011.0, 1012.0):
            before = rate.current
            rate.succeeded(sent_at=1001.5, now=now)
            grown.append(rate.current / before - 1)
        assert grown == pytest.approx([0.0003, 9 * 0.003, 0.0033])

    @pytest.mark.parametrize("sent_at", [1000, 1001])
    def test_ignores_requests_sent_before_the_cut(self, sent_at: float) -> None:
        rate = AdaptiveRate(100)
        rate.throttled(sent_at=1000, now=1001)
        rate.succeeded(sent_at, now=1011)
        assert rate.current == pytest.approx(50)


def test_backoff_is_full_jitter_below_an_exponential_bound() -> None:
    lowest, highest = Backoff(1, 30, lambda: 0.0), Backoff(1, 30, lambda: 1.0)
    assert [lowest.delay(attempt) for attempt in (1, 2, 9)] == [0, 0, 0]
    assert [highest.delay(attempt) for attempt in (1, 2, 3, 6, 5000)] == [1, 2, 4, 30, 30]


class Quota:
    """A service's quota: a token bucket with a burst of so many seconds."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._capacity = self._tokens = rate * burst
        self._at = 0.0

    def admits(self, now: float) -> bool:
        self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._rate)
        self._at = now
        admitted = self._tokens >= 1
        self._tokens -= admitted
        return admitted


class Asleep(Exception):
    """Raised in place of sleeping."""


def simulate(
    clients: int, configured: float, quota: float, *, burst: float, seed: int, seconds: float = 60.0
) -> tuple[float, float]:
    """Clients with 8 threads each and 100 ms of latency.

    :param burst: seconds' worth of requests that may come at once.
    :return: share of the quota that is used, and of the requests that are throttled.
    """
    dice = random.Random(seed)
    now = 0.0

    def sleep(delay: float) -> None:
        raise Asleep(delay)

    pacers = [Pacer(configured, clock=lambda: now, sleep=sleep, random=dice.random) for _ in range(clients)]
    service = Quota(quota, burst)
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
    ("clients", "configured", "burst", "least_used", "most_refused"),
    [
        (1, 10, 1.0, 0.95, 0.005),
        (1, 50, 1.0, 0.90, 0.05),
        (4, 10, 1.0, 0.90, 0.08),
        (1, 10, 0.2, 0.95, 0.005),
        (1, 50, 0.2, 0.95, 0.05),
        (2, 10, 0.2, 0.90, 0.05),
        (4, 10, 0.2, 0.75, 0.12),
    ],
)
def test_quota_is_used_without_a_storm(
    clients: int, configured: float, burst: float, least_used: float, most_refused: float
) -> None:
    runs = [simulate(clients, configured, quota=10, burst=burst, seed=seed) for seed in range(5)]
    used, refused = (statistics.mean(figures) for figures in zip(*runs, strict=True))
    assert used >= least_used
    assert refused <= most_refused


OK = -1.0
MAX_PAUSE = 120.0
ROUNDING = 1e-6


class Event(NamedTuple):
    at: float
    is_request: bool
    held_until: float
    rate: float


class Crowd:
    """Callers that share a pacer: each waits, sends and reports the outcome, until the script ends.

    :param script: seconds that each request takes, and ``OK`` or the ``retry_after`` that it is throttled with.
    :param oversleep: seconds by which every sleep is too long.
    """

    def __init__(
        self, rate: float, script: Iterable[tuple[float, float | None]], callers: int, oversleep: float, jitter: float
    ) -> None:
        self.rate = rate
        self.oversleep = oversleep
        self.events: list[Event] = []
        self._time = Time()
        self._pacer = Pacer(
            rate, max_pause=MAX_PAUSE, clock=self._time.clock, sleep=self._fall_asleep, random=lambda: jitter
        )
        self.play(script, callers)

    def play(self, script: Iterable[tuple[float, float | None]], callers: int) -> None:
        lines = iter(script)
        turns = [(self._time.now, number, self._call(lines)) for number in range(callers)]
        while turns:
            self._time.now, number, caller = heapq.heappop(turns)
            if (busy := next(caller, None)) is not None:
                heapq.heappush(turns, (self._time.now + busy, number, caller))

    def _call(self, lines: Iterator[tuple[float, float | None]]) -> Iterator[float]:
        for seconds, says in lines:
            sent_at = yield from self._wait()
            self._note(is_request=True)
            yield seconds
            if says == OK:
                self._pacer.succeeded(sent_at)
            else:
                self._pacer.throttled(sent_at, says)
            self._note(asked=min(says or 0.0, MAX_PAUSE))

    def _wait(self) -> Generator[float, None, float]:
        for _ in range(1000):
            try:
                return self._pacer.wait()
            except Asleep as asleep:
                yield asleep.args[0] + self.oversleep
        raise AssertionError("still waiting after 1,000 sleeps")

    def _note(self, *, is_request: bool = False, asked: float = 0.0) -> None:
        held_until = self._time.now + max(asked, self._pacer.pause_left)
        self.events.append(Event(self._time.now, is_request, held_until, self._pacer.requests_per_second))

    @staticmethod
    def _fall_asleep(seconds: float) -> NoReturn:
        raise Asleep(seconds)


CROWDS = st.builds(
    Crowd,
    rate=st.floats(0.02, 1000),
    script=st.lists(
        st.tuples(st.floats(0, 5), st.sampled_from([OK, None]) | st.floats(0, 500)), min_size=10, max_size=40
    ),
    callers=st.integers(1, 8),
    oversleep=st.floats(0, 0.1),
    jitter=st.floats(0, 1, exclude_max=True),
)


@given(CROWDS)
def test_no_interval_has_more_requests_than_the_rate_allows(crowd: Crowd) -> None:
    requests = [event.at for event in crowd.events if event.is_request]
    for (before, first), (after, last) in combinations(enumerate(requests), 2):
        most = crowd.rate * (last - first + Pacer.CATCH_UP_SECONDS) + 1
        assert after - before + 1 <= most + ROUNDING


@given(CROWDS)
def test_no_request_goes_before_a_pause_is_over(crowd: Crowd) -> None:
    held_until = 0.0
    for event in crowd.events:
        assert not event.is_request or event.at >= held_until - ROUNDING
        held_until = max(held_until, event.held_until)


@given(CROWDS)
def test_some_request_goes_after_the_longest_wait(crowd: Crowd) -> None:
    slowest = min(event.rate for event in crowd.events)
    longest = max(MAX_PAUSE, 1 / slowest + Backoff().cap) + crowd.oversleep
    assert max(after.at - before.at for before, after in pairwise(crowd.events)) <= longest + ROUNDING


@given(CROWDS)
@example(Crowd(1000, [(0.1, None)] * 40, callers=1, oversleep=0, jitter=0))
def test_rate_stays_within_bounds_and_recovers(crowd: Crowd) -> None:
    crowd.play([(1.0, OK)] * 700, callers=1)
    assert max(event.rate for event in crowd.events) <= crowd.rate == crowd.events[-1].rate
    assert min(event.rate for event in crowd.events) >= crowd.rate / 1000
