"""The results tables: written as answers come, asked what is known already."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.sql import Select
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_yandex_vision.results.database import Database, chunks
from airflow_provider_yandex_vision.results.rows import NewRow, TaskKey, image_id, image_row, match_rows, result_of
from airflow_provider_yandex_vision.results.schema import check_columns, create_missing
from airflow_provider_yandex_vision.results.tables import Tables
from airflow_provider_yandex_vision.results.upsert import upsert
from airflow_provider_yandex_vision.search.pacing import Random, Sleep
from airflow_provider_yandex_vision.vision.errors import TableError
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult, Status

Now = Callable[[], datetime]
"""An aware moment."""

ANSWERS: tuple[Status, ...] = ("found", "none")


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


class SearchedImage(NamedTuple):
    """What the table knows of an image that was searched before."""

    status: Status
    etag: str | None
    searched_at: datetime
    dag_id: str
    run_id: str


class ResultTable:
    """``<name>``, one row an image, and ``<name>_matches``, one row a page that shows it.

    Every method waits out the trouble that passes (a restart, a deadlock, a lock) for up to a minute and then
    raises :class:`DatabaseError`, as it does at once for trouble that stays.

    :param name: ``table`` or ``schema.table``.
    :param run: which the rows are written for, and whose rows count as done.
    :raises TableError: ``name`` is not a table name.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        run: TaskKey,
        *,
        now: Now = utc_now,
        sleep: Sleep = time.sleep,
        random: Random = random.random,
    ) -> None:
        self.name = name
        self.run = run
        self._tables = Tables.named(name)
        self._database = Database(engine, name, sleep, random)
        self._now = now

    def prepare(self, *, create: bool = True) -> None:
        """Make sure, before anything is paid, that results can be written.

        :param create: create the tables where they are missing.
        :raises TableError: they are missing, of another shape, or take no rows.
        """
        create_missing(self._database, self._tables, create=create)
        check_columns(self._database, self._tables)
        self._database.transact("write", self._rehearse, TableError)

    def write(self, results: Sequence[CopySearchResult]) -> None:
        """Commit results and their matches, all or none; of two with the same URI the last.

        A search without an answer (``rejected``, ``failed``) has not seen which copies are gone. So it leaves
        the matches alone, and of an image that has an answer also ``copy_count``, ``match_count`` and
        ``searched_at``: these stay those of the answer, and a match is gone where
        ``last_seen_at < searched_at``, whatever came after.
        """
        latest = {result.uri: result for result in results}
        self._database.transact("write", lambda connection: self._upsert(connection, latest.values()))

    def lookup(self, uris: Sequence[str]) -> dict[str, SearchedImage]:
        """What is known of these images; those never searched are left out."""
        images = self._tables.images.c
        columns = (images.image_id, *(images[name] for name in SearchedImage._fields))
        known: dict[str, SearchedImage] = {}
        for chunk in chunks({image_id(uri): uri for uri in uris}.items()):
            uri_of = dict(chunk)
            query = select(*columns).where(images.image_id.in_(uri_of))
            known.update((uri_of[row[0]], SearchedImage._make(row[1:])) for row in self._fetch(query))
        return known

    def known(self, sha256s: Collection[str], recheck_after: timedelta | None = None) -> dict[str, CopySearchResult]:
        """Duplicates for contents, by their hash: what this run found, or any run within ``recheck_after``.

        An answer comes with the URI it was found for, and with the matches of its search in order of rank.
        """
        answers: dict[str, CopySearchResult] = {}
        for chunk in chunks(sha256s):
            rows = self._fetch(self._newest_answers(chunk, recheck_after))
            matches = self._current_matches([row.image_id for row in rows])
            answers.update((row.content_sha256, result_of(row, matches[row.image_id])) for row in rows)
        return answers

    def new_matches(self) -> int:
        """Matches never seen before that this task instance found, in all its attempts."""
        images, matches = self._tables.images, self._tables.matches
        query = (
            select(func.count())
            .select_from(matches.join(images, matches.c.image_id == images.c.image_id))
            .where(matches.c.first_seen_run_id == self.run.run_id, self._by_this_task())
        )
        return int(self._fetch(query)[0][0])

    def committed(self) -> int:
        """Images this task instance is done with, in all its attempts."""
        query = select(func.count()).select_from(self._tables.images)
        return int(self._fetch(query.where(self._by_this_task(), self._tables.images.c.status != "failed"))[0][0])

    def _upsert(self, connection: Connection, results: Iterable[CopySearchResult]) -> None:
        answered: list[NewRow] = []
        unanswered: list[NewRow] = []
        matches: list[NewRow] = []
        for result in results:
            dated = result if result.searched_at else replace(result, searched_at=self._now())
            if result.status in ANSWERS:
                found = match_rows(dated, self.run)
                answered.append(image_row(dated, self.run, len(found)))
                matches += found
            else:
                unanswered.append(image_row(dated, self.run, None))
        upsert(connection, self._tables.images, answered, self._on_answer)
        upsert(connection, self._tables.images, unanswered, self._on_no_answer)
        upsert(connection, self._tables.matches, matches, _on_seen_again)

    def _on_answer(self, new: Mapping[str, Any]) -> dict[str, Any]:
        return {column.name: new[column.name] for column in self._tables.images.columns if not column.primary_key}

    def _on_no_answer(self, new: Mapping[str, Any]) -> dict[str, Any]:
        images = self._tables.images.c
        never_answered = images.match_count.is_(None)
        kept = {
            "copy_count": images.copy_count,
            "match_count": images.match_count,
            "searched_at": case((never_answered, new["searched_at"]), else_=images.searched_at),
        }
        return {**self._on_answer(new), **kept}

    def _rehearse(self, connection: Connection) -> None:
        """Write a row twice, find it once, take it back: rights or keys that are missing show up."""
        match = CopyMatch(image_url="", page_url="", title="", description="", rank=1, domain="")
        probe = CopySearchResult(repr(self.run), "found", matches=(match,), searched_at=self._now())
        for _ in range(2):
            self._upsert(connection, [probe])
        for table in self._tables:
            ours = select(func.count()).select_from(table).where(table.c.image_id == image_id(probe.uri))
            if connection.execute(ours).scalar() != 1:
                raise TableError(f"{self._database.table} is of another shape: {table.fullname} has no primary key")
        transaction = connection.get_transaction()
        assert transaction is not None
        transaction.rollback()

    def _newest_answers(self, sha256s: Collection[str], recheck_after: timedelta | None) -> Select[Any]:
        images = self._tables.images
        usable = self._of_this_run()
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
        images, matches = self._tables.images.c, self._tables.matches.c
        query = (
            select(self._tables.matches)
            .join(self._tables.images, matches.image_id == images.image_id)
            .where(matches.image_id.in_(image_ids), matches.last_seen_at >= images.searched_at)
            .order_by(matches.image_id, matches.rank_no)
        )
        found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
        for row in self._fetch(query) if image_ids else ():
            found[row.image_id].append(row)
        return found

    def _of_this_run(self) -> ColumnElement[bool]:
        images = self._tables.images.c
        return and_(images.dag_id == self.run.dag_id, images.run_id == self.run.run_id)

    def _by_this_task(self) -> ColumnElement[bool]:
        images = self._tables.images.c
        return and_(self._of_this_run(), images.task_id == self.run.task_id, images.map_index == self.run.map_index)

    def _fetch(self, query: Select[Any]) -> Sequence[Row[Any]]:
        return self._database.transact("read", lambda connection: connection.execute(query).fetchall())


def _on_seen_again(new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: new[name] for name in ("rank_no", "title", "description", "last_seen_at")}
