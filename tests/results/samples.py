"""Results to write, and a way to read what was written."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import column, select, table
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult, Status

MONDAY = datetime(2026, 1, 5, 12, 30, 15, 123456, tzinfo=timezone.utc)
TUESDAY = MONDAY + timedelta(days=1)
WEDNESDAY = MONDAY + timedelta(days=2)

FIRST_RUN = TaskKey("copies", "scheduled__2026-01-05", "search")
SECOND_RUN = TaskKey("copies", "scheduled__2026-01-06", "search")

SHA = "0123456789abcdef" * 4


def match(page: str, rank: int = 1, **fields: str) -> CopyMatch:
    shown = CopyMatch(f"{page}.jpg", page, "", "", rank, "example.org", "example.org")
    return replace(shown, **fields)  # type: ignore[arg-type]  # rank is no keyword here


def found(uri: str, *pages: str | CopyMatch, at: datetime = MONDAY, **fields: Any) -> CopySearchResult:
    matches = tuple(match(page, n) if isinstance(page, str) else page for n, page in enumerate(pages, start=1))
    return CopySearchResult(uri, "found" if matches else "none", len(matches), matches, searched_at=at, **fields)


def unanswered(uri: str, status: Status, at: datetime = MONDAY, **fields: Any) -> CopySearchResult:
    return CopySearchResult(uri, status, **{"error_code": "X", "error_message": "message", "searched_at": at, **fields})


def select_rows(engine: Engine, name: str, *columns: str) -> list[tuple[Any, ...]]:
    """Sorted rows, read without the code under test."""
    schema, _, plain = name.rpartition(".")
    query: Any = select(*map(column, columns)).select_from(table(plain, schema=schema or None))
    with engine.connect() as connection:
        return sorted((tuple(row) for row in connection.execute(query)), key=repr)
