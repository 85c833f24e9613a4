"""When the next request may go.

Under a rate limit it is the *rate* that adapts: adapting the number of parallel requests oscillates, since latency
changes with it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

Clock = Callable[[], float]
Sleep = Callable[[float], Any]
Random = Callable[[], float]
"""Uniform in [0, 1)."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter, which spreads the retries of clients that failed together.

    See "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.

    :param base: seconds; upper bound of the first delay.
    :param cap: seconds; upper bound of all delays.
    """

    base: float = 1.0
    cap: float = 30.0
    random: Random = random.random

    def delay(self, attempt: int) -> float:
        """Seconds to wait after the given failed attempt, counted from 1."""
        return self.random() * min(self.cap, self.base * 2.0 ** min(attempt - 1, 30))


class AdaptiveRate:
    """The rate that the service sustains, at most the configured one.

    Throttling cuts it once for all requests that were in flight together: a little if it had recovered from the last
    cut, else to what the service accepted of late. Growth starts slowly after each cut and gets faster, so that the
    rate stays close to the quota for most of the time, and is soon back after a long outage.

    :param configured: requests per second.
    """

    GENTLE_CUT = 0.97
    DEEPEST_CUT = 0.5
    GROWTH = 0.0003
    """Share of the rate added per second, for each second since the last cut."""
    FASTEST_GROWTH = 0.05
    REPLIES_OF_LATE = 4

    def __init__(self, configured: float) -> None:
        self.configured = configured
        self.current = configured
        self._accepted: deque[float] = deque(maxlen=self.REPLIES_OF_LATE)
        self._cut_at = float("-inf")
        self._grown_at = float("-inf")

    def configure(self, configured: float) -> None:
        """Change the configured rate. The current one stays in proportion, so what was learned of the quota stays."""
        self.current = configured * (self.current / self.configured)
        self.configured = configured

    def throttled(self, sent_at: float, now: float) -> bool:
        """Cut the rate. :return: False if the request was sent before the last cut, which took it into account."""
        if sent_at <= self._cut_at:
            return False
        cut = self.GENTLE_CUT if self._grown_at > self._cut_at else self._deep_cut(now)
        self.current = max(self.current * cut, self.configured / 1000)
        self._cut_at = self._grown_at = now
        return True

    def succeeded(self, sent_at: float, now: float) -> None:
        self._accepted.append(now)
        if sent_at > self._cut_at and self.current < self.configured:
            growth = min(self.FASTEST_GROWTH, self.GROWTH * (now - self._cut_at))
            self.current = min(self.configured, self.current * (1 + growth * (now - self._grown_at)))
            self._grown_at = now

    def _deep_cut(self, now: float) -> float:
        if len(self._accepted) < self.REPLIES_OF_LATE:
            return self.DEEPEST_CUT
        sent = self.current * (now - self._accepted[0])
        return min(max(len(self._accepted) / max(sent, 1.0), self.DEEPEST_CUT), self.GENTLE_CUT)


class Pacer:
    """Spaces requests evenly, and holds all of them back while the service throttles. Safe to share between threads.

    :param requests_per_second: upper bound over any interval longer than ``CATCH_UP_SECONDS``.
    :param max_pause: seconds; a longer ``Retry-After`` is cut to it.
    :param sleep: may return early.
    """

    CATCH_UP_SECONDS = 0.05
    """A late wake-up is compensated up to this much, so that the rate is used in full."""

    def __init__(
        self,
        requests_per_second: float,
        *,
        max_pause: float = 120.0,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
        random: Random = random.random,
    ) -> None:
        self._rate = AdaptiveRate(requests_per_second)
        self._random = random
        self._max_pause = max_pause
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = clock()
        self._resume_at = float("-inf")
        self._cuts_in_a_row = 0

    @property
    def requests_per_second(self) -> float:
        """The current rate: the configured one, or what the service sustains."""
        return self._rate.current

    @property
    def pause_left(self) -> float:
        """Seconds until requests may go again; 0 unless the service throttles."""
        return max(0.0, self._resume_at - self._clock())

    def limit(self, requests_per_second: float) -> None:
        """Change the upper bound from the next request on. A caller that sleeps learns of it when it wakes.

        The current rate stays in proportion: what the service sustains of one share, it sustains of another.
        """
        with self._lock:
            gap = 1 / self._rate.current
            self._rate.configure(requests_per_second)
            self._next += 1 / self._rate.current - gap

    def wait(self) -> float:
        """Sleep until a request may go.

        :return: the time at which it goes, to pass to :meth:`succeeded` or :meth:`throttled`.
        """
        while True:
            with self._lock:
                now = self._clock()
                delay = max(self._next, self._resume_at) - now
                if delay <= 0:
                    self._next = max(self._next, now - self.CATCH_UP_SECONDS) + 1 / self._rate.current
                    return now
            self._sleep(delay)

    def succeeded(self, sent_at: float) -> None:
        with self._lock:
            self._rate.succeeded(sent_at, self._clock())
            self._cuts_in_a_row = 0

    def throttled(self, sent_at: float, retry_after: float | None = None) -> None:
        """Hold all requests back: as long as the service asked, or for a pause that grows while throttling continues.

        :param retry_after: seconds.
        """
        with self._lock:
            now = self._clock()
            is_first = self._rate.throttled(sent_at, now)
            if is_first:
                self._cuts_in_a_row += 1
                self._resume_at = max(self._resume_at, max(now, self._next) + self._pause())
            if retry_after is not None:
                self._resume_at = max(self._resume_at, now + min(retry_after, self._max_pause))
        if is_first:
            rate = self._rate.current
            log.warning("Throttled by the service: next request in %.1f s, then %.1f/s", self.pause_left, rate)

    def _pause(self) -> float:
        """Up to one interval between requests at first.

        It moves the requests of this client to other moments, so that clients with the same rate, whose requests met
        at the service, do not meet there each time.
        """
        return Backoff(1 / self._rate.current, random=self._random).delay(self._cuts_in_a_row)
