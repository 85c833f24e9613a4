"""Requests under way. Each ends at its deadline, or when another thread wants it, whatever it waits for.

Timeouts of a socket are no deadline: they begin anew with every byte.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from airflow_provider_yandex_vision.vision.errors import printable

log = logging.getLogger(__name__)

SECONDS_UNTIL_WARNING = 30.0
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_SHUTDOWNS = 0.05


class Call:
    """One request, from the first connection to the last byte of the reply.

    It holds duplicates of its sockets, which stay valid whoever closes or wraps the originals. All methods need the
    lock of :class:`Calls`.
    """

    def __init__(self, what: str, now: float, deadline: float) -> None:
        self.waits_for = f"a connection for {what}"
        self.was_sent = False
        self.deadline = deadline
        self.over: str | None = None
        self.warn_at = now + SECONDS_UNTIL_WARNING
        self._sockets: list[socket.socket] = []

    def hold(self, sock: Any) -> None:
        """:raises ConnectionAbortedError: the call is over."""
        if self.over:
            raise ConnectionAbortedError(self.over)
        self._sockets.append(socket.socket(fileno=os.dup(sock.fileno())))

    def end(self, reason: str) -> None:
        """Wake whoever waits on the sockets. Again has an effect: a socket that is not connected yet ignores it."""
        self.over = self.over or reason
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


class Calls:
    """The calls of one client. Safe to share between threads.

    :param clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._calls: set[Call] = set()
        self._watcher: threading.Thread | None = None
        self._next_look = 0.0
        self._of_thread = threading.local()

    @contextmanager
    def call(self, what: str, seconds: float) -> Iterator[Call]:
        """A request of this thread within the block. An error that follows from its end has the reason in ``over``.

        :param what: for the log.
        :param seconds: until it ends.
        """
        now = self._clock()
        call = self._of_thread.call = Call(what, now, now + seconds)
        with self._changed:
            self._calls.add(call)
            self._watch(call)
        try:
            yield call
        finally:
            self._of_thread.call = None
            with self._changed:
                self._calls.discard(call)
                call.close()

    def was_sent(self, call: Call, what: str, seconds: float) -> None:
        """The request was sent as a whole: another deadline begins."""
        with self._changed:
            call.was_sent = True
            call.waits_for = what
            call.deadline = self._clock() + seconds
            self._watch(call)

    def hold(self, sock: Any) -> None:
        """This thread's call uses the socket from now on.

        :raises ConnectionAbortedError: the call is over.
        """
        call: Call | None = getattr(self._of_thread, "call", None)
        if call:
            with self._changed:
                call.hold(sock)

    def abort(self) -> None:
        """End all calls."""
        with self._changed:
            for call in self._calls:
                call.end("aborted")

    def close(self) -> None:
        """Once all calls have ended: leave no thread behind."""
        with self._changed:
            watcher = self._watcher
            self._changed.notify()
        if watcher:
            watcher.join(SECONDS_BETWEEN_LOOKS)

    def _watch(self, call: Call) -> None:
        if not self._watcher:
            self._watcher = threading.Thread(target=self._end_late_calls, name="request-deadlines", daemon=True)
            self._watcher.start()
        elif call.deadline < self._next_look:
            self._changed.notify()

    def _end_late_calls(self) -> None:
        """A thread, as long as there are calls."""
        with self._changed:
            while self._calls:
                seconds = min(map(self._look_at, self._calls))
                self._next_look = self._clock() + seconds
                self._changed.wait(seconds)
            self._watcher = None

    def _look_at(self, call: Call) -> float:
        """:return: seconds until the next look."""
        now = self._clock()
        if now >= call.warn_at:
            call.warn_at = float("inf")
            log.warning("Waiting for %s for %.0f s", printable(call.waits_for), SECONDS_UNTIL_WARNING)
        if now < call.deadline:
            return min(SECONDS_BETWEEN_LOOKS, call.deadline - now)
        call.end("timed out")
        return SECONDS_BETWEEN_SHUTDOWNS


def watched(connection_class: type[Any], calls: Calls) -> type[Any]:
    """A connection of urllib3's that tells the calls about its sockets."""

    class WatchedConnection(connection_class):  # type: ignore[misc]
        def request(self, *args: Any, **kwargs: Any) -> None:
            if self.sock is not None:
                calls.hold(self.sock)
            super().request(*args, **kwargs)

        def _new_conn(self) -> socket.socket:
            """Connect as urllib3 does, which would keep the socket to itself until it is connected."""
            error: OSError = ConnectionError("the host has no address")
            addresses = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, type=socket.SOCK_STREAM)
            for family, kind, protocol, _, address in addresses:
                try:
                    sock = socket.socket(family, kind, protocol)
                except OSError as reason:
                    error = reason
                    continue
                try:
                    for option in self.socket_options or ():
                        sock.setsockopt(*option)
                    sock.settimeout(self.timeout)
                    calls.hold(sock)
                    sock.connect(address)
                except OSError as reason:
                    sock.close()
                    # After a reset urllib3 looks for a reply all the same, on a socket that is not there.
                    was_reset = isinstance(reason, (ConnectionResetError, BrokenPipeError))
                    error = ConnectionAbortedError(reason.strerror) if was_reset else reason
                else:
                    return sock
            raise error

    WatchedConnection.__name__ = connection_class.__name__
    return WatchedConnection
