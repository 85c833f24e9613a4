"""After runs, retries and kills in any order, the table holds what a model of dictionaries does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Table, event, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from airflow_provider_yandex_vision.results.due import DueImages
from airflow_provider_yandex_vision.results.rows import TaskKey, image_id
from airflow_provider_yandex_vision.results.schema import Tables
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult, Image
from tests.results.samples import MONDAY, found, match, unanswered

HOUR = timedelta(hours=1)
HASHES = ["0" * 64, "1" * 64]
URIS = ["s3://b/1", "s3://b/2", "s3://b/3"]
MATCHES = st.builds(match, st.sampled_from("ab"), title=st.sampled_from("xy"), image_url=st.sampled_from("12"))


def answered(uri: str, matches: list[CopyMatch], **fields: Any) -> CopySearchResult:
    return found(uri, *(replace(each, rank=rank) for rank, each in enumerate(matches, start=1)), **fields)


STORED = {"etag": st.sampled_from([None, "old", "new"]), "sha256": st.sampled_from(HASHES)}
BATCHES = st.lists(
    st.builds(answered, st.sampled_from(URIS), st.lists(MATCHES, max_size=4), **STORED)
    | st.builds(unanswered, st.sampled_from(URIS), st.sampled_from(["rejected", "failed"]), **STORED),
    max_size=5,
)


class ImageRow(NamedTuple):
    image_uri: str
    status: str
    copy_count: int | None
    match_count: int | None
    error_code: str | None
    content_sha256: str | None
    etag: str | None
    searched_at: datetime
    checked_at: datetime
    run_id: str


class MatchRow(NamedTuple):
    image_id: str
    page_url: str
    image_url: str
    rank_no: int
    title: str
    current: bool
    first_seen_at: datetime
    first_seen_run_id: str
    last_seen_at: datetime


@dataclass
class Model:
    """Rows and latest answers, by URI."""

    images: dict[str, ImageRow] = field(default_factory=dict)
    matches: dict[tuple[str, str], MatchRow] = field(default_factory=dict)
    answers: dict[str, CopySearchResult] = field(default_factory=dict)

    def write(self, result: CopySearchResult, run_id: str) -> None:
        if result.status in ("found", "none"):
            best = {each.page_url: each for each in reversed(result.matches)}
            matches = tuple(sorted(best.values(), key=lambda each: each.rank))
            self.answers[result.uri] = replace(result, matches=matches)
            for key, row in self.matches.items():
                if key[0] == result.uri:
                    self.matches[key] = row._replace(current=False)
            for each in matches:
                self._see(result, each, run_id)
        answer = self.answers.get(result.uri)
        searched_at = (answer or result).searched_at
        assert searched_at
        self.images[result.uri] = ImageRow(
            result.uri,
            result.status,
            answer.copy_count if answer else None,
            len(answer.matches) if answer else None,
            result.error_code,
            (answer or result).sha256,
            result.etag,
            searched_at,
            result.searched_at or MONDAY,
            run_id,
        )

    def _see(self, result: CopySearchResult, seen: CopyMatch, run_id: str) -> None:
        now = result.searched_at
        assert now
        key = (result.uri, seen.page_url)
        first = self.matches.get(key)
        first_seen = (first.first_seen_at, first.first_seen_run_id) if first else (now, run_id)
        shown = (seen.page_url, seen.image_url, seen.rank, seen.title)
        self.matches[key] = MatchRow(image_id(result.uri), *shown, True, *first_seen, now)

    def is_due(self, uri: str, etag: str | None, run_id: str, fresh_since: datetime) -> bool:
        row = self.images.get(uri)
        if row is None or row.status == "failed":
            return True
        if row.run_id == run_id:
            return row.status == "rejected" and row.etag != etag
        settled_at = row.checked_at if row.status == "rejected" else row.searched_at
        return etag is None or row.etag != etag or settled_at <= fresh_since

    def known(self, run_id: str, fresh_since: datetime) -> dict[str | None, CopySearchResult]:
        usable = [
            row
            for row in self.images.values()
            if row.status in ("found", "none") and (row.run_id == run_id or row.searched_at > fresh_since)
        ]
        usable.sort(key=lambda row: image_id(row.image_uri), reverse=True)
        usable.sort(key=lambda row: row.searched_at)
        return {row.content_sha256: self.answers[row.image_uri] for row in usable}


class Killed(BaseException):
    pass


@contextmanager
def interrupted(engine: Engine, moment: int | str, error: BaseException) -> Iterator[None]:
    """Break the connection once: at a statement, before the commit or after it."""
    statements = itertools.count()
    commits = itertools.count()

    def at_statement(connection: Connection, *_: object) -> None:
        if next(statements) == moment:
            connection.invalidate()
            raise error

    def at_commit(connection: Connection) -> None:
        if isinstance(moment, str) and next(commits) == 0:
            if moment == "after the commit":
                connection.connection.commit()
            connection.invalidate()
            raise error

    event.listen(engine, "before_cursor_execute", at_statement)
    event.listen(engine, "commit", at_commit)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", at_statement)
        event.remove(engine, "commit", at_commit)


class Runs(RuleBasedStateMachine):
    def __init__(self, engine: Engine, name: str) -> None:
        super().__init__()
        self.engine = engine
        self.name = name
        self.tables = Tables.named(name)
        self.model = Model()
        self.now = MONDAY
        self.runs = itertools.count(1)
        self.last: list[CopySearchResult] = []
        for table in self.tables:
            with engine.begin() as connection:
                connection.execute(table.delete())
        self.begin_run()

    def begin_run(self) -> None:
        self.task = TaskKey("copies", f"run {next(self.runs)}", "search")
        self.table = ResultTable(self.engine, self.name, self.task, now=lambda: self.now, sleep=lambda seconds: None)

    @rule(batch=BATCHES, is_new_run=st.booleans())
    def write(self, batch: list[CopySearchResult], is_new_run: bool) -> None:
        if is_new_run:
            self.begin_run()
        self.now += HOUR
        self.last = [replace(result, searched_at=self.now) for result in batch]
        self.write_again()

    @rule()
    def write_again(self) -> None:
        self.table.write(self.last)
        self.remember()

    @rule(
        batch=BATCHES,
        is_new_run=st.booleans(),
        moment=st.sampled_from([0, 1, 2, "before the commit", "after the commit"]),
        error=st.sampled_from([Killed(), OperationalError("", {}, Exception("lost"), connection_invalidated=True)]),
    )
    def write_until_interrupted(
        self, batch: list[CopySearchResult], is_new_run: bool, moment: int | str, error: BaseException
    ) -> None:
        with interrupted(self.engine, moment, error):
            try:
                self.write(batch, is_new_run)
            except Killed:
                if moment == "after the commit":
                    self.remember()

    def remember(self) -> None:
        for result in {result.uri: result for result in self.last}.values():
            self.model.write(result, self.task.run_id)

    @invariant()
    def rows_agree_with_the_model(self) -> None:
        assert self.rows(self.tables.images, ImageRow) == sorted(self.model.images.values())
        assert self.rows(self.tables.matches, MatchRow) == sorted(self.model.matches.values())

    @invariant()
    def finished_images_are_not_due(self) -> None:
        for age, etag in ((HOUR, "old"), (2 * HOUR, "old"), (2 * HOUR, None)):
            images = [Image(uri, bytes, 1, etag) for uri in URIS]
            due = DueImages(images, self.table, recheck_after=age, now=lambda: self.now)
            expected = [uri for uri in URIS if self.model.is_due(uri, etag, self.task.run_id, self.now - age)]
            assert [image.uri for image in due] == expected
            assert due.skipped + due.earlier.images == len(URIS) - len(expected)

    @invariant()
    def newest_answers_are_known(self) -> None:
        for age in (HOUR, 2 * HOUR):
            assert self.table.known(HASHES, age) == self.model.known(self.task.run_id, self.now - age)

    @invariant()
    def counts_are_those_of_the_run(self) -> None:
        ours = {row.image_uri: row.status for row in self.model.images.values() if row.run_id == self.task.run_id}
        assert self.table.committed() == sum(status != "failed" for status in ours.values())
        assert self.table.new_matches() == sum(
            row.first_seen_run_id == self.task.run_id and uri in ours for (uri, *_), row in self.model.matches.items()
        )

    def rows(self, table: Table, row: type[NamedTuple]) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return sorted(map(tuple, connection.execute(select(*(table.c[name] for name in row._fields)))))


@pytest.mark.parametrize(("url", "examples"), [("sqlite", 15), ("postgresql", 6)], indirect=["url"])
def test_table_agrees_with_a_model(engine: Engine, table: ResultTable, examples: int) -> None:
    run_state_machine_as_test(
        lambda: Runs(engine, table.name),  # type: ignore[arg-type]  # accepts any factory, despite its annotation
        settings=settings(max_examples=examples, stateful_step_count=12),
    )
