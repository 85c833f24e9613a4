"""Results written to the tables: answers as a whole, and what the database refuses as a reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import and_, case, literal_column, or_, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from airflow_provider_yandex_vision.results.database import Database, chunks
from airflow_provider_yandex_vision.results.rows import TaskKey, image_row, match_rows
from airflow_provider_yandex_vision.results.schema import ANSWERS, Tables
from airflow_provider_yandex_vision.results.sql_errors import describe, is_about_rows, is_duplicate
from airflow_provider_yandex_vision.results.upsert import upsert
from airflow_provider_yandex_vision.vision.errors import GONE, STILL_GONE, DatabaseError, printable
from airflow_provider_yandex_vision.vision.models import CopySearchResult

Now: TypeAlias = "Callable[[], datetime]"
"""Aware."""

log = logging.getLogger(__name__)

OF_THE_ANSWER = ("copy_count", "match_count", "content_sha256", "size_bytes", "mime_type", "searched_at", "request_id")
"""Columns that a search without an answer leaves alone if the image had an answer before."""

NOT_STORED = "NOT_STORED"
"""Error code of an image whose answer the database refused."""

REFUSALS_MEAN_BROKEN_TABLE = 16
LARGE_CHARACTERS = 500_000
"""A server that is sent more than it accepts may just close the connection."""
SUSPICIOUS_FAILURES = 4


class Refused(DatabaseError):
    """The database will never take these rows."""


class Writer:
    """Writes results, each batch and its matches in one transaction."""

    def __init__(self, database: Database, tables: Tables, task: TaskKey, now: Now) -> None:
        self._database = database
        self._tables = tables
        self._task = task
        self._now = now
        self._refused_in_a_row = 0

    def write(self, results: Sequence[CopySearchResult]) -> list[CopySearchResult]:
        """Commit results with distinct URIs. If the database refuses one, the others are stored.

        :return: those it refused; their rows are ``failed``, with the reason.
        """
        try:
            self._database.transact("write", self._attempts(results))
        except Refused as error:
            if len(results) > 1:
                middle = len(results) // 2
                return self.write(results[:middle]) + self.write(results[middle:])
            self._record(results[0], error)
            return [*results]
        self._refused_in_a_row = 0
        return []

    def upsert(self, connection: Connection, results: Iterable[CopySearchResult]) -> None:
        now = self._now()
        dated = [result if result.searched_at else replace(result, searched_at=now) for result in results]
        answers = [(result, match_rows(result, self._task)) for result in dated if result.status in ANSWERS]
        # A copy of a known answer has an older time.
        answered = [image_row(result, self._task, now, len(rows)) for result, rows in answers]
        unanswered = [
            image_row(result, self._task, result.searched_at or now, None)
            for result in dated
            if result.status not in ANSWERS
        ]
        images, matches = self._tables
        # The rows of images come first: they are the lock on their matches.
        upsert(connection, images, answered, self._on_answer)
        upsert(connection, images, unanswered, self._on_no_answer)
        found = {row["match_id"]: row for _, rows in answers for row in rows}
        ended = []
        for key, last_seen_at in self._current_matches(connection, [row["image_id"] for row in answered]):
            if key not in found:
                ended.append(key)
            elif found[key]["last_seen_at"] < last_seen_at <= now:  # a known answer may be older
                found[key]["last_seen_at"] = last_seen_at
        for keys in chunks(ended):
            connection.execute(matches.update().where(matches.c.match_id.in_(keys)).values(current=False))
        upsert(connection, matches, list(found.values()), _on_seen_again)

    def _attempts(self, results: Sequence[CopySearchResult]) -> Callable[[Connection], None]:
        """Work for a transaction, which counts failures that may be the fault of these rows."""
        suspicious = 0

        def attempt(connection: Connection) -> None:
            nonlocal suspicious
            try:
                self.upsert(connection, results)
            except (DBAPIError, UnicodeError) as error:
                is_lost = isinstance(error, DBAPIError) and error.connection_invalidated
                suspicious += is_duplicate(error) or (is_lost and _characters(results) > LARGE_CHARACTERS)
                if is_about_rows(error) or suspicious == SUSPICIOUS_FAILURES:
                    connection.invalidate()  # MySQL hangs up on large packets: a rollback would fail and hide why
                    raise Refused(describe(error)) from None
                raise

        return attempt

    def _record(self, result: CopySearchResult, error: Refused) -> None:
        """:raises DatabaseError: it refuses one row after the other, or this one as well."""
        self._refused_in_a_row += 1
        if self._refused_in_a_row == REFUSALS_MEAN_BROKEN_TABLE:
            raise DatabaseError(
                f"cannot write {self._database.table}: it refused {self._refused_in_a_row} results in a row: {error}"
            )
        reason = f"the database refuses the answer: {error.message}"
        log.warning("%s: %s", printable(result.uri), reason)
        failed = CopySearchResult(
            result.uri, "failed", error_code=NOT_STORED, error_message=reason, searched_at=result.searched_at
        )
        self._database.transact("write", lambda connection: self.upsert(connection, [failed]))

    def _current_matches(self, connection: Connection, image_ids: Iterable[str]) -> Iterator[tuple[str, datetime]]:
        """Keys, and when they were last seen."""
        matches = self._tables.matches
        for chunk in chunks(image_ids):
            query = select(matches.c.match_id, matches.c.last_seen_at)
            yield from connection.execute(query.where(matches.c.image_id.in_(chunk), matches.c.current)).fetchall()

    def _on_answer(self, new: Any) -> dict[str, Any]:
        return {column.name: new[column.name] for column in self._tables.images.columns if not column.primary_key}

    def _on_no_answer(self, new: Any) -> dict[str, Any]:
        images = self._tables.images.c
        no_answer_yet = images.match_count.is_(None)
        kept = {name: case((no_answer_yet, new[name]), else_=images[name]) for name in OF_THE_ANSWER}
        # No bound values: PyMySQL takes none after VALUES.
        gone: Any = literal_column(f"'{GONE}'")
        still_gone: Any = literal_column(f"'{STILL_GONE}'")
        is_other_run = or_(images.dag_id != new["dag_id"], images.run_id != new["run_id"])
        was_gone = or_(images.error_code == still_gone, and_(images.error_code == gone, is_other_run))
        error_code = case((and_(new["error_code"] == gone, was_gone), still_gone), else_=new["error_code"])
        return {**self._on_answer(new), **kept, "error_code": error_code}


def _on_seen_again(new: Any) -> dict[str, Any]:
    names = ("finding_id", "rank_no", "image_url", "domain", "site", "title", "description", "current", "last_seen_at")
    return {name: new[name] for name in names}


def _characters(results: Iterable[CopySearchResult]) -> int:
    return sum(
        len(text)
        for result in results
        for match in result.matches
        for text in (match.image_url, match.page_url, match.title, match.description)
    )
