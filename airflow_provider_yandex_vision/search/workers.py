"""Threads that run jobs, and the signal that stops them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias

Wait: TypeAlias = "Callable[[threading.Event, float], bool]"


class Stopped(Exception):
    """Raised in a thread that has to stop what it is doing."""


class Stop:
    """Whether a search is ending, and why. Safe to use from any thread.

    A draining search starts nothing more, but takes the results of requests in flight, since they are paid for. A
    closed one takes nothing more.
    """

    def __init__(self, wait: Wait = threading.Event.wait) -> None:
        self.error: BaseException | None = None
        self.closed = False
        self._wait = wait
        self._stopping = threading.Event()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def drain(self, error: BaseException) -> None:
        """The first error is the one that counts."""
        self.error = self.error or error
        self._stopping.set()

    def close(self) -> None:
        self.closed = True
        self._stopping.set()

    def sleep(self, seconds: float) -> None:
        """:raises Stopped: as soon as the search is ending."""
        if self._wait(self._stopping, seconds) or self.stopping:
            raise Stopped


class Workers:
    """Daemon threads that run jobs and put what these return into a queue.

    Not ``concurrent.futures``, whose threads are joined at exit: a read that hangs would hang the process.

    :param max_threads: the first starts with the first job, another with each call of :meth:`grow`.
    """

    def __init__(self, name: str, max_threads: int, outcomes: SimpleQueue[Any]) -> None:
        self._name = name
        self.max_threads = max_threads
        self._outcomes = outcomes
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._closed = False
        self._threads: list[threading.Thread] = []

    def __len__(self) -> int:
        return len(self._threads)

    def submit(self, job: Callable[[], object]) -> None:
        self._jobs.put(job)
        if not self._threads:
            self.grow()

    def grow(self) -> None:
        """Start another thread, unless all are running, or the system has no more while there is at least one.

        :raises RuntimeError: not even the first thread can start.
        """
        if len(self._threads) < self.max_threads:
            thread = threading.Thread(target=self._work, name=f"vision-{self._name}-{len(self) + 1}", daemon=True)
            self._threads.append(thread)
            try:
                thread.start()
            except RuntimeError:
                self._threads.remove(thread)
                if not self._threads:
                    raise

    def close(self) -> None:
        """Start no further job. Safe to call from any thread and from a signal handler."""
        self._closed = True
        self._jobs.put(None)

    def join(self, seconds: float) -> bool:
        """Wait for the threads to end. :return: whether all have."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None and not self._closed:
            self._outcomes.put(job())
        self._jobs.put(None)  # wakes the next thread, also one that starts only now
