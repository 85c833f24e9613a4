"""The results tables: written as answers arrive, and queried for what is already known."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, func, or_, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql import Select

from airflow_provider_yandex_vision.results.database import Database, chunks
from airflow_provider_yandex_vision.results.migration import ensure_tables
from airflow_provider_yandex_vision.results.rehearsal import rehearse
from airflow_provider_yandex_vision.results.rows import TaskKey, image_id, stored_result
from airflow_provider_yandex_vision.results.schema import ANSWERS, FindingTables, LedgerTables, Tables
from airflow_provider_yandex_vision.results.upsert import check_supported
from airflow_provider_yandex_vision.results.writing import Now, Writer
from airflow_provider_yandex_vision.search.pacing import Random, Sleep
from airflow_provider_yandex_vision.vision.errors import STILL_GONE
from airflow_provider_yandex_vision.vision.models import CopySearchResult, Status, utc_now

CLOCK_SKEW = timedelta(minutes=1)
"""How far the clocks of machines may differ. A time further in the future is as good as unknown."""


class SearchedImage(NamedTuple):
    """What the table knows about an image searched before."""

    status: Status
    copy_count: int | None
    match_count: int | None
    etag: str | None
    searched_at: datetime
    checked_at: datetime
    dag_id: str
    run_id: str
    task_id: str
    map_index: int

    @property
    def settled_at(self) -> datetime:
        """When the image got its answer, or was last rejected."""
        return self.checked_at if self.status == "rejected" else self.searched_at


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
        self._database = Database(engine, name, sleep, random)
        self._writer = Writer(self._database, self._tables, task, now)
        self._now = now
        images = self._tables.images.c
        self._by_this_run = and_(images.dag_id == task.dag_id, images.run_id == task.run_id)
        self._by_this_task = and_(*(images[name] == value for name, value in vars(task).items()))
        self._with_answers = self._select_with_answers()

    def prepare(self, *, create: bool = True) -> None:
        """Make sure that results can be written, before any search is paid for.

        :param create: create missing tables, and columns missing from those of an older version.
        :raises TableError: a table is missing, has another layout, or does not accept rows.
        """
        kept, ledger = FindingTables.named(self.name), LedgerTables.named(self.name)
        ensure_tables(self._database, self._tables, kept, *ledger, create=create)
        rehearse(self._database, self._tables, self._writer, self.task, self._now())

    def write(self, results: Sequence[CopySearchResult]) -> list[CopySearchResult]:
        """Commit results and their matches in one transaction; the last result for a URI wins.

        An answer replaces the one before as a whole, whatever their times: matches that it does not have are no longer
        ``current``. A search without an answer (``rejected``, ``failed``) says nothing about copies, and leaves the
        answer and its matches as they are.

        :return: results that the database refuses, such as one with a text longer than it takes. Their rows are
            ``failed``, with the reason.
        """
        latest = {result.uri: result for result in results}
        return self._writer.write([*latest.values()])

    def lookup(self, uris: Sequence[str]) -> dict[str, SearchedImage]:
        """What is known about these images, by URI; images never searched are left out."""
        images = self._tables.images.c
        # Rows of older versions have only one of the times.
        special = {"checked_at": func.coalesce(images.checked_at, images.searched_at)}
        columns = (images.image_id, *(special.get(name, images[name]) for name in SearchedImage._fields))
        known: dict[str, SearchedImage] = {}
        uri_of = {image_id(uri): uri for uri in uris}
        for chunk in chunks(uri_of):
            rows = self._database.fetch(select(*columns).where(images.image_id.in_(chunk)))
            known.update((uri_of[row[0]], SearchedImage._make(row[1:])) for row in rows)
        return known

    def with_answers(self, connection: Connection, sha256s: Collection[str], recheck_after: timedelta) -> set[str]:
        """Those of the content hashes that :meth:`known` has an answer for. Takes a fifth of its time."""
        found: set[str] = set()
        for chunk in chunks(sha256s):
            now = self._now()
            values = {"sha256s": chunk, "after": now - recheck_after, "before": now + CLOCK_SKEW}
            found.update(row.content_sha256 for row in connection.execute(self._with_answers, values))
        return found

    def known(self, sha256s: Collection[str], recheck_after: timedelta | None = None) -> dict[str, CopySearchResult]:
        """Answers by content hash: the newest one of this run, or of any run within ``recheck_after``.

        An answer has the URI it was found for, and the matches of its search, ordered by rank.
        """
        return {
            sha256: answer
            for chunk in chunks(sha256s)
            for sha256, answer in self._newest_answers(chunk, recheck_after).items()
        }

    def new_matches(self) -> int:
        """Number of matches that this task instance was the first to see, in all its attempts."""
        images, matches = self._tables
        first_seen = and_(
            matches.c.first_seen_dag_id == self.task.dag_id, matches.c.first_seen_run_id == self.task.run_id
        )
        # No index serves an expression, so images are read by key. With old statistics, PostgreSQL takes a new run for
        # rare, and would compare each of its matches with each of its images.
        values = vars(self.task).items()
        by_this_task = and_(*(func.coalesce(images.c[name], value) == value for name, value in values))
        query = select(func.count()).select_from(matches.join(images, matches.c.image_id == images.c.image_id))
        return int(self._database.fetch(query.where(first_seen, by_this_task))[0][0])

    def committed(self) -> int:
        """Number of images that this task instance has finished, in all its attempts."""
        images = self._tables.images
        query = select(func.count()).select_from(images).where(self._by_this_task, images.c.status != "failed")
        return int(self._database.fetch(query)[0][0])

    def still_gone(self) -> int:
        """Number of images that this task instance did not find, and an earlier run neither."""
        images = self._tables.images
        query = select(func.count()).select_from(images).where(self._by_this_task, images.c.error_code == STILL_GONE)
        return int(self._database.fetch(query)[0][0])

    def _select_with_answers(self) -> Select[Any]:
        """Built once: that takes longer than to run it."""
        images = self._tables.images.c
        after, before = (bindparam(name, type_=images.searched_at.type) for name in ("after", "before"))
        recent = and_(images.searched_at > after, images.searched_at < before)
        of_contents = images.content_sha256.in_(bindparam("sha256s", expanding=True))
        is_answer = and_(of_contents, images.status.in_(ANSWERS), or_(self._by_this_run, recent))
        return select(images.content_sha256).where(is_answer)

    def _newest_answers(
        self, sha256s: Collection[str], recheck_after: timedelta | None
    ) -> Mapping[str, CopySearchResult]:
        """An answer and its matches in one statement: between two, another task could replace the answer."""
        images, matches = self._tables
        usable = self._by_this_run
        if recheck_after is not None:
            now = self._now()
            usable = or_(
                usable, and_(images.c.searched_at > now - recheck_after, images.c.searched_at < now + CLOCK_SKEW)
            )
        newest_first = func.row_number().over(
            partition_by=images.c.content_sha256, order_by=(images.c.searched_at.desc(), images.c.image_id)
        )
        answers = (
            select(images, newest_first.label("nth"))
            .where(images.c.content_sha256.in_(sha256s), images.c.status.in_(ANSWERS), usable)
            .subquery()
        )
        of_answer = and_(matches.c.image_id == answers.c.image_id, matches.c.current)
        query = (
            select(answers, *(column for column in matches.columns if column.name not in images.c))
            .select_from(answers.outerjoin(matches, of_answer))
            .where(answers.c.nth == 1)
            .order_by(answers.c.content_sha256, matches.c.rank_no)
        )
        return {
            sha256: stored_result(rows)
            for sha256, rows in groupby(self._database.fetch(query), key=attrgetter("content_sha256"))
        }
