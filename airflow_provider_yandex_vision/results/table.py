"""The results tables: written as answers arrive, and queried for what is already known."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.sql import Select

from airflow_provider_yandex_vision.results.database import Database, chunks
from airflow_provider_yandex_vision.results.rows import TaskKey, image_id, image_row, match_rows, stored_result
from airflow_provider_yandex_vision.results.schema import LedgerTables, Tables, ensure_tables
from airflow_provider_yandex_vision.results.upsert import check_supported, upsert
from airflow_provider_yandex_vision.search.pacing import Random, Sleep
from airflow_provider_yandex_vision.vision.errors import TableError
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult, Status, utc_now

Now = Callable[[], datetime]  # aware

ANSWERS: tuple[Status, ...] = ("found", "none")


class SearchedImage(NamedTuple):
    """What the table knows about an image searched before."""

    status: Status
    copy_count: int | None
    match_count: int | None
    etag: str | None
    searched_at: datetime
    dag_id: str
    run_id: str
    task_id: str
    map_index: int


class ResultTable:
    """Results in ``<name>``, one row per image, and ``<name>_matches``, one row per page that shows it.

    All methods retry transient errors (restart, deadlock, lock) for up to a minute before they raise
    :class:`DatabaseError`. They raise it at once for other database errors.

    :param name: ``table`` or ``schema.table``.
    :param task: the task instance that writes the rows.
    :raises TableError: the name is invalid, or the database is not supported.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        task: TaskKey,
        *,
        now: Now = utc_now,
        sleep: Sleep = time.sleep,
        random: Random = random.random,
    ) -> None:
        check_supported(engine.dialect.name)
        self.name = name
        self.task = task
        self._tables = Tables.named(name)
        self.database = Database(engine, name, sleep, random)
        self._now = now
        images = self._tables.images.c
        self._by_this_run = and_(images.dag_id == task.dag_id, images.run_id == task.run_id)
        self._by_this_task = and_(*(images[name] == value for name, value in vars(task).items()))

    def prepare(self, *, create: bool = True) -> None:
        """Make sure that results can be written, before any search is paid for.

        :param create: create missing tables.
        :raises TableError: a table is missing, has another layout, or does not accept rows.
        """
        ensure_tables(self.database, (*self._tables, *LedgerTables.named(self.name)), create=create)
        self.database.transact("write", self._rehearse, TableError)

    def write(self, results: Sequence[CopySearchResult]) -> None:
        """Commit results and their matches in one transaction; the last result for a URI wins.

        A search without an answer (``rejected``, ``failed``) says nothing about copies. It leaves all matches
        as they are, and ``copy_count``, ``match_count`` and ``searched_at`` too if the image had an answer
        before. So a match is gone if and only if ``last_seen_at < searched_at``.
        """
        latest = {result.uri: result for result in results}
        self.database.transact("write", lambda connection: self._upsert(connection, latest.values()))

    def lookup(self, uris: Sequence[str]) -> dict[str, SearchedImage]:
        """What is known about these images, by URI; images never searched are left out."""
        images = self._tables.images.c
        columns = (images.image_id, *(images[name] for name in SearchedImage._fields))
        known: dict[str, SearchedImage] = {}
        uri_of = {image_id(uri): uri for uri in uris}
        for chunk in chunks(uri_of):
            rows = self.database.fetch(select(*columns).where(images.image_id.in_(chunk)))
            known.update((uri_of[row[0]], SearchedImage._make(row[1:])) for row in rows)
        return known

    def known(self, sha256s: Collection[str], recheck_after: timedelta | None = None) -> dict[str, CopySearchResult]:
        """Answers by content hash: the newest one of this run, or of any run within ``recheck_after``.

        An answer has the URI it was found for, and the matches of its search, ordered by rank.
        """
        answers: dict[str, CopySearchResult] = {}
        for chunk in chunks(sha256s):
            rows = self.database.fetch(self._newest_answers(chunk, recheck_after))
            matches = self._current_matches([row.image_id for row in rows])
            answers.update((row.content_sha256, stored_result(row, matches[row.image_id])) for row in rows)
        return answers

    def new_matches(self) -> int:
        """Number of matches that this task instance was the first to see, in all its attempts."""
        images, matches = self._tables
        query = select(func.count()).select_from(matches.join(images, matches.c.image_id == images.c.image_id))
        first_seen_in_run = matches.c.first_seen_run_id == self.task.run_id
        return int(self.database.fetch(query.where(first_seen_in_run, self._by_this_task))[0][0])

    def committed(self) -> int:
        """Number of images that this task instance has finished, in all its attempts."""
        images = self._tables.images
        query = select(func.count()).select_from(images).where(self._by_this_task, images.c.status != "failed")
        return int(self.database.fetch(query)[0][0])

    def _upsert(self, connection: Connection, results: Iterable[CopySearchResult]) -> None:
        dated = [result if result.searched_at else replace(result, searched_at=self._now()) for result in results]
        answers = [(result, match_rows(result, self.task)) for result in dated if result.status in ANSWERS]
        answered = [image_row(result, self.task, len(rows)) for result, rows in answers]
        unanswered = [image_row(result, self.task, None) for result in dated if result.status not in ANSWERS]
        images, matches = self._tables
        upsert(connection, images, answered, self._on_answer)
        upsert(connection, images, unanswered, self._on_no_answer)
        upsert(connection, matches, [row for _, rows in answers for row in rows], _on_seen_again)

    def _on_answer(self, new: Any) -> dict[str, Any]:
        return {column.name: new[column.name] for column in self._tables.images.columns if not column.primary_key}

    def _on_no_answer(self, new: Any) -> dict[str, Any]:
        images = self._tables.images.c
        return {
            **self._on_answer(new),
            "copy_count": images.copy_count,
            "match_count": images.match_count,
            "searched_at": case((images.match_count.is_(None), new["searched_at"]), else_=images.searched_at),
        }

    def _rehearse(self, connection: Connection) -> None:
        """Write a row twice, count it and roll back: fails if permissions or keys are missing."""
        match = CopyMatch(image_url="", page_url="", title="", description="", rank=1, domain="")
        probe = CopySearchResult(repr(self.task), "found", matches=(match,), searched_at=self._now())
        for _ in range(2):
            self._upsert(connection, [probe])
        for table in self._tables:
            rows = select(func.count()).select_from(table).where(table.c.image_id == image_id(probe.uri))
            if connection.execute(rows).scalar() != 1:
                raise TableError(f"{self.database.table} has another layout: {table.fullname} has no primary key")
        if transaction := connection.get_transaction():
            transaction.rollback()

    def _newest_answers(self, sha256s: Collection[str], recheck_after: timedelta | None) -> Select[Any]:
        images = self._tables.images
        usable = self._by_this_run
        if recheck_after is not None:
            usable = or_(usable, images.c.searched_at > self._now() - recheck_after)
        newest_first = func.row_number().over(
            partition_by=images.c.content_sha256, order_by=(images.c.searched_at.desc(), images.c.image_id)
        )
        answers = (
            select(images, newest_first.label("nth"))
            .where(images.c.content_sha256.in_(sha256s), images.c.status.in_(ANSWERS), usable)
            .subquery()
        )
        return select(answers).where(answers.c.nth == 1)

    def _current_matches(self, image_ids: Collection[str]) -> Mapping[str, list[Row[Any]]]:
        images, matches = self._tables
        query = (
            select(matches)
            .join(images, matches.c.image_id == images.c.image_id)
            .where(matches.c.image_id.in_(image_ids), matches.c.last_seen_at >= images.c.searched_at)
            .order_by(matches.c.image_id, matches.c.rank_no)
        )
        found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
        for row in self.database.fetch(query) if image_ids else ():
            found[row.image_id].append(row)
        return found


def _on_seen_again(new: Any) -> dict[str, Any]:
    return {name: new[name] for name in ("rank_no", "title", "description", "last_seen_at")}
