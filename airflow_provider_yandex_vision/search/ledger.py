"""What a search needs to know of other tasks: its share of the limits, and what is being searched elsewhere.

:class:`~airflow_provider_yandex_vision.results.quota.TableLedger` keeps it in a database.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_yandex_vision.search.pacing import Pacer
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.models import CopySearchResult

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Share:
    """The part of one of several tasks that share limits equally.

    :param place: of this task among them, from 0.
    """

    place: int = 0
    tasks: int = 1

    def rate(self, requests_per_second: float) -> float:
        return requests_per_second / self.tasks

    def window(self, requests: int) -> int:
        """Requests in flight, at least 1. The first tasks get what does not divide."""
        part, rest = divmod(requests, self.tasks)
        return max(1, part + (self.place < rest))


@dataclass(frozen=True, slots=True)
class Known:
    """Contents that need no search here.

    :param answers: by SHA-256. They were paid for earlier.
    :param elsewhere: are being searched by another task, so their answers are worth waiting for.
    """

    answers: Mapping[str, CopySearchResult] = field(default_factory=dict)
    elsewhere: Collection[str] = ()


class Ledger(Protocol):
    """Contents are named by their SHA-256. The methods are called from the thread that consumes the search."""

    @property
    def share(self) -> Share:
        """The share at this moment."""

    def known(self, sha256s: Collection[str]) -> Known:
        """Those of the contents that need no search here, as things stand."""

    def claim(self, sha256s: Collection[str]) -> Known:
        """Make sure that nobody else searches these contents until they have a result that is stored.

        :return: those that need no search after all, and are not claimed.
        """


@dataclass(frozen=True, slots=True)
class NoLedger:
    """For a search that no other task knows of."""

    share: Share = Share()

    def known(self, sha256s: Collection[str]) -> Known:
        return Known()

    def claim(self, sha256s: Collection[str]) -> Known:
        return Known()


class Limits:
    """Rate and window of this search, as other tasks come and go."""

    def __init__(self, settings: Settings, pacer: Pacer) -> None:
        self.window = settings.max_concurrent_requests
        self._settings = settings
        self._pacer = pacer
        self._share = Share()

    def take(self, share: Share) -> None:
        if share == self._share:
            return
        self._share = share
        rate = share.rate(self._settings.requests_per_second)
        self.window = share.window(self._settings.max_concurrent_requests)
        self._pacer.limit(rate)
        log.info("One of %d tasks: up to %.3g requests/s, and %d in flight", share.tasks, rate, self.window)
