"""Geometry of the page's charts; the template draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

DAYS = 90
HEIGHT = 100
SMALLEST = 2.0
"""A bar that is not zero stays visible."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One day or one site.

    :param place: number of the bar, from 0.
    :param length: of 100.
    """

    place: int
    label: date | str
    count: int
    length: float


def days(counts: Iterable[tuple[date, int]], today: date) -> list[Bar]:
    """A bar for each of the 90 days up to ``today``, those without a new page included."""
    found = dict(counts)
    labels = [today - timedelta(days=ago) for ago in reversed(range(DAYS))]
    return bars([(label, found.get(label, 0)) for label in labels])


def bars(counts: Sequence[tuple[date | str, int]]) -> list[Bar]:
    highest = max((count for _, count in counts), default=0) or 1
    return [
        Bar(place, label, count, max(SMALLEST, round(HEIGHT * count / highest, 2)) if count else 0.0)
        for place, (label, count) in enumerate(counts)
    ]
