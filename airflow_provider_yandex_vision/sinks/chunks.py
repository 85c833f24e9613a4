"""Long sequences in pieces that every database takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

KEYS_PER_QUERY = 900
"""Older SQLite takes 999 parameters a statement, Oracle 1,000 values in an IN."""


def chunks(items: Iterable[T], size: int = KEYS_PER_QUERY) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
