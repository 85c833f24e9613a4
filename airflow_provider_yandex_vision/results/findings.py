"""Findings, that is pages that show a content of ours: what is new, open, decided or gone, for reports."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from operator import methodcaller
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.engine import Connection, Engine

from airflow_provider_yandex_vision.results.database import Database, chunks
from airflow_provider_yandex_vision.results.decisions import Decisions
from airflow_provider_yandex_vision.results.migration import ensure_tables
from airflow_provider_yandex_vision.results.rows import TaskKey, image_id
from airflow_provider_yandex_vision.results.schema import FindingTables, Tables
from airflow_provider_yandex_vision.results.upsert import check_supported, upsert
from airflow_provider_yandex_vision.search.pacing import Random, Sleep
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, TableError
from airflow_provider_yandex_vision.vision.models import utc_now

Selection: TypeAlias = Literal["new", "open", "cases", "gone", "all"]
SELECTIONS: tuple[Selection, ...] = ("new", "open", "cases", "gone", "all")

FINDINGS_PER_QUERY = 500

CLAIM_LIFETIME = timedelta(days=1)
"""A run that was killed before it showed what it claimed loses it to the next one after this."""


class Findings:
    """The findings of a results table.

    :param table_name: ``table`` or ``schema.table``.
    :raises TableError: the name is invalid, or the database is not supported.
    """

    def __init__(
        self,
        engine: Engine,
        table_name: str,
        *,
        now: Callable[[], datetime] = utc_now,
        sleep: Sleep = time.sleep,
        random: Random = random.random,
    ) -> None:
        check_supported(engine.dialect.name)
        self._images, self._matches = self._tables = Tables.named(table_name)
        self._kept = FindingTables.named(table_name)
        self._database = Database(engine, table_name, sleep, random)
        self._now = now
        self.decisions = Decisions(self._database, self._kept, now)

    def prepare(self, *, create: bool = True) -> None:
        """Make sure that the tables of decisions and reports, and the views exist as this version needs them.

        :param create: create what is missing.
        :raises TableError: nothing was ever searched with this table, or something is missing and not created.
        """
        table = self._images

        def is_there(connection: Connection) -> bool:
            return sa.inspect(connection).has_table(table.name, schema=table.schema)

        if not self._database.transact("read", is_there, TableError):
            raise TableError(f"{self._database.table} does not exist: search for copies with it first")
        ensure_tables(self._database, self._tables, self._kept, create=create)

    def select(self, select: Selection, report: str = "", run_id: str = "") -> Iterator[Mapping[str, Any]]:
        """Findings with the columns of ``<table>_findings``, by site, the newest first.

        ``new`` are open findings that no other run of the report has shown. The run claims them before this yields
        the first: runs that overlap share them out, and the same run gets them again.

        :param select: ``new``, ``open``, ``cases`` (verdict ``case``), ``gone`` (no longer on the page), or ``all``.
        :param report: identity of the report, for ``new``.
        :param run_id: identity of its run, for ``new``.
        :raises ConfigurationError: unknown selection.
        """
        if select not in SELECTIONS:
            raise ConfigurationError(f"select={select!r} is unknown: use {', '.join(SELECTIONS)}")
        view = self._kept.open if select in ("new", "open") else self._kept.findings
        if select == "new":
            self._forget_claims_of_killed_runs(report, run_id)
        wanted = self._condition(select, view, report, run_id)
        keys = self._keys(view, wanted)
        if select == "new":
            self._claim(report, run_id, keys)
            wanted = self._claimed_by(view, report, run_id)
        return self._rows(view, keys, wanted)

    def mark_reported(self, report: str, run_id: str, finding_ids: Collection[str]) -> None:
        """Note that the run has shown these findings; those that another run claimed stay with it."""
        self._claim(report, run_id, finding_ids)
        reported = self._kept.reported
        for chunk in chunks(sorted(finding_ids)):
            update = reported.update().where(
                *(reported.c.report == report, reported.c.run_id == run_id),
                *(reported.c.finding_id.in_(chunk), reported.c.reported_at.is_(None)),
            )
            self._execute(update.values(reported_at=self._now()))

    def release(self, report: str, run_id: str) -> None:
        """Give up the findings that the run has claimed and not shown: call it if the run fails."""
        reported = self._kept.reported.c
        claimed = and_(reported.report == report, reported.run_id == run_id, reported.reported_at.is_(None))
        self._execute(self._kept.reported.delete().where(claimed))

    def numbers(self) -> dict[str, int]:
        """Counts: ``pictures`` searched, and findings that are ``open``, ``cases`` or ``gone``."""
        findings = self._kept.findings
        gone = select(func.count()).select_from(findings).where(self._condition("gone", findings))
        cases = select(func.count()).select_from(findings).where(self._condition("cases", findings))
        return {
            "pictures": self._count(select(func.count()).select_from(self._images)),
            "open": self._count(select(func.count()).select_from(self._kept.open)),
            "cases": self._count(cases),
            "gone": self._count(gone),
        }

    def new_per_day(self, days: int = 90) -> list[tuple[date, int]]:
        """How many findings, other than own, licensed or ignored ones, were first seen on each day in UTC.

        :return: ``days`` days up to today, those without findings included.
        """
        today = self._now().date()
        first = today - timedelta(days=days - 1)
        findings = self._kept.findings.c
        midnight = datetime.combine(first, datetime.min.time(), self._now().tzinfo)
        day = self._day(findings.first_seen_at).label("day")
        query: Any = (
            select(day, func.count().label("findings"))
            .where(findings.first_seen_at >= midnight, or_(findings.verdict.is_(None), findings.verdict == "case"))
            .group_by(day)
        )
        counts = {date.fromisoformat(str(row.day)): int(row.findings) for row in self._database.fetch(query)}
        return [(each, counts.get(each, 0)) for each in (first + timedelta(days=n) for n in range(days))]

    def top_sites(self, limit: int = 20) -> list[tuple[str, int]]:
        """The sites with the most open findings, and how many."""
        site, count = self._kept.open.c.site, func.count().label("findings")
        query: Any = select(site, count).group_by(site).order_by(count.desc(), site).limit(limit)
        return [(row.site, int(row.findings)) for row in self._database.fetch(query)]

    def connections(self, image_uris: Collection[str]) -> dict[str, str | None]:
        """Connection that each image was read with; images that are not in the table are left out."""
        uri_of = {image_id(uri): uri for uri in image_uris}
        found: dict[str, str | None] = {}
        for chunk in chunks(uri_of):
            images = self._images.c
            query = select(images.image_id, images.object_storage_conn_id).where(images.image_id.in_(chunk))
            found.update((uri_of[row.image_id], row.object_storage_conn_id) for row in self._database.fetch(query))
        return found

    def unknown(self, finding_ids: Collection[str]) -> list[str]:
        """Those of the ids that no finding has."""
        known: set[str] = set()
        for chunk in chunks(finding_ids):
            query = select(self._matches.c.finding_id).where(self._matches.c.finding_id.in_(chunk))
            known.update(row[0] for row in self._database.fetch(query))
        return [each for each in finding_ids if each not in known]

    def count_open(self, task: TaskKey | None = None) -> tuple[int, int]:
        """How many findings are open, and how many of these are new.

        :param task: count the findings in images that this task instance searched, in all its attempts; new are those
            that its run was the first to see, in whatever file. None counts all, and none as new.
        """
        open_findings = self._kept.open
        counted = select(func.count()).select_from(open_findings)
        if task is None:
            return self._count(counted), 0
        images, matches = self._images.alias(), self._matches.alias()
        by_task = and_(*(images.c[name] == value for name, value in vars(task).items()))
        of_task = (
            select(matches.c.finding_id)
            .select_from(matches.join(images, matches.c.image_id == images.c.image_id))
            .where(by_task, matches.c.current)
        )
        seen = self._matches.alias()
        by_another_run = or_(seen.c.first_seen_dag_id != task.dag_id, seen.c.first_seen_run_id != task.run_id)
        seen_before = exists().where(seen.c.finding_id == open_findings.c.finding_id, by_another_run)
        counted = counted.where(open_findings.c.finding_id.in_(of_task))
        return self._count(counted), self._count(counted.where(~seen_before))

    def _condition(self, selection: Selection, view: sa.Table, report: str = "", run_id: str = "") -> Any:
        reported = self._kept.reported
        if selection == "new":
            by_another_run = and_(
                reported.c.finding_id == view.c.finding_id, reported.c.report == report, reported.c.run_id != run_id
            )
            return ~exists().where(by_another_run)
        if selection == "cases":
            return view.c.verdict == "case"
        if selection == "gone":
            return and_(view.c.finding_id.in_(self._perhaps_gone()), ~view.c.current)
        return sa.true()

    def _perhaps_gone(self) -> Any:
        """Keys among which all findings are that are gone: few, so that the view need not look at all."""
        image, later, match = self._images.alias(), self._images.alias(), self._matches
        searched_later = and_(
            later.c.content_sha256 == image.c.content_sha256, later.c.searched_at > image.c.searched_at
        )
        of_older_image = (
            select(match.c.finding_id)
            .select_from(image.join(later, searched_later).join(match, match.c.image_id == image.c.image_id))
        )  # fmt: skip
        return select(match.c.finding_id).where(~match.c.current).union(of_older_image)

    def _keys(self, view: sa.Table, wanted: Any) -> list[str]:
        newest_first = (view.c.site, view.c.first_seen_at.desc(), view.c.finding_id)
        query = select(view.c.finding_id).where(wanted).order_by(*newest_first)
        return [row[0] for row in self._database.fetch(query)]

    def _rows(self, view: sa.Table, keys: Sequence[str], wanted: Any) -> Iterator[Mapping[str, Any]]:
        """By key, so that no transaction is open while the reader works."""
        for chunk in chunks(keys, FINDINGS_PER_QUERY):
            rows = self._database.fetch(select(view).where(view.c.finding_id.in_(chunk), wanted))
            by_key = {row.finding_id: dict(row._mapping) for row in rows}
            yield from (by_key[key] for key in chunk if key in by_key)

    def _forget_claims_of_killed_runs(self, report: str, run_id: str) -> None:
        reported = self._kept.reported.c
        by_another_run = and_(reported.report == report, reported.run_id != run_id, reported.reported_at.is_(None))
        old = reported.claimed_at < self._now() - CLAIM_LIFETIME
        self._execute(self._kept.reported.delete().where(by_another_run, old))

    def _claim(self, report: str, run_id: str, finding_ids: Collection[str]) -> None:
        """Note that the run shows these findings, unless another run has them."""
        reported = self._kept.reported
        new = {"report": report, "run_id": run_id, "claimed_at": self._now(), "reported_at": None}
        rows = [{**new, "finding_id": each} for each in finding_ids]
        keep = {"run_id": reported.c.run_id}
        for chunk in chunks(rows):
            write = partial(upsert, table=reported, rows=chunk, changes=lambda _: keep)
            self._database.transact("write", write)

    def _claimed_by(self, view: sa.Table, report: str, run_id: str) -> Any:
        reported = self._kept.reported.c
        return exists().where(
            reported.report == report, reported.finding_id == view.c.finding_id, reported.run_id == run_id
        )

    def _day(self, moment: Any) -> Any:
        """The date of a time in UTC."""
        if self._database.dialect.name == "postgresql":
            moment = func.timezone("UTC", moment)
        if self._database.dialect.name == "sqlite":
            return func.date(moment, type_=sa.Unicode)
        return sa.cast(moment, sa.Date)

    def _count(self, query: Any) -> int:
        return int(self._database.fetch(query)[0][0])

    def _execute(self, statement: Any) -> None:
        self._database.transact("write", methodcaller("execute", statement))
