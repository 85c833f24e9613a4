from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.schema import CreateTable

from airflow_provider_yandex_vision.results import ResultTable
from airflow_provider_yandex_vision.results.tables import Tables, Timestamp
from airflow_provider_yandex_vision.vision.errors import TableError
from airflow_provider_yandex_vision.vision.models import CopySearchResult
from tests.results.samples import FIRST_RUN, MONDAY, found, select_rows

PROMISED = {
    "images": "image_id image_uri status copy_count match_count error_code error_message content_sha256 etag size_bytes"
    " mime_type searched_at dag_id run_id task_id map_index",
    "matches": "match_id image_id rank_no image_url page_url domain title description first_seen_at last_seen_at"
    " first_seen_run_id",
}


def test_columns_are_those_of_the_contract() -> None:
    images, matches = Tables.named("copies")
    assert [column.name for column in images.columns] == PROMISED["images"].split()
    assert [column.name for column in matches.columns] == PROMISED["matches"].split()
    assert (images.name, matches.name) == ("copies", "copies_matches")


def test_a_name_can_have_a_schema() -> None:
    images, matches = Tables.named("press.copies")
    assert (images.fullname, matches.fullname) == ("press.copies", "press.copies_matches")


@pytest.mark.parametrize(
    "name", ["", "x; drop table y", 'x"', "x'", "a b", "a-b", "1st", "a.b.c", ".x", "x.", "снимки", "x\n", "x" * 56]
)
def test_what_is_not_a_name_is_refused(name: str) -> None:
    with pytest.raises(TableError, match="not a table name"):
        Tables.named(name)


def test_both_names_of_the_longest_name_fit_every_database(engine: Engine, name: str) -> None:
    longest = name.ljust(55, "x")
    try:
        ResultTable(engine, longest, FIRST_RUN).prepare()
        assert select_rows(engine, f"{longest}_matches", "match_id") == []
    finally:
        for each in Tables.named(longest):
            each.drop(engine)


@pytest.mark.parametrize("server", ["mysql", "mariadb"])
def test_mysql_keeps_any_text_apart_and_whole(server: str) -> None:
    dialect: Dialect = mysql.dialect()
    dialect.name = server
    for each in Tables.named("copies"):
        ddl = str(CreateTable(each).compile(dialect=dialect))
        assert "LONGTEXT" in ddl
        assert "DATETIME(6)" in ddl
        assert "utf8mb4_bin" in ddl
        assert "ENGINE=InnoDB" in ddl


def test_postgresql_keeps_moments() -> None:
    dialect: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    ddl = str(CreateTable(Tables.named("copies").images).compile(dialect=dialect))
    assert "searched_at TIMESTAMP WITH TIME ZONE" in ddl


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's own time zone is not UTC."""
    monkeypatch.setenv("TZ", "Asia/Vladivostok")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_east")
def test_moments_are_kept_in_utc_whatever_the_time_zone_of_the_machine(engine: Engine, table: ResultTable) -> None:
    before = datetime.now(timezone.utc)
    table.write([found("s3://b/1"), CopySearchResult("s3://b/2", "failed")])
    kept = ResultTable(engine, table.name, FIRST_RUN).lookup(["s3://b/1", "s3://b/2"])
    assert kept["s3://b/1"].searched_at == MONDAY
    assert before <= kept["s3://b/2"].searched_at <= datetime.now(timezone.utc)
    ((stored,), *_) = select_rows(engine, table.name, "searched_at")
    if engine.dialect.name != "postgresql":  # which keeps moments, and shows them as the session likes
        assert str(stored).startswith("2026-01-05 12:30:15.123456")


@pytest.mark.parametrize(("dialect", "zone"), [(postgresql.dialect, timezone.utc), (mysql.dialect, None)])
def test_postgresql_alone_is_told_the_time_zone(dialect: Callable[[], Dialect], zone: timezone | None) -> None:
    """Without it, it would take a moment for one of the session's zone; the others have no zones."""
    in_moscow = MONDAY.astimezone(timezone(timedelta(hours=3)))
    bound = Timestamp().process_bind_param(in_moscow, dialect())
    assert bound is not None
    assert (bound.tzinfo, bound.replace(tzinfo=timezone.utc)) == (zone, MONDAY)


@pytest.mark.parametrize("kept", [MONDAY.replace(tzinfo=None), MONDAY.astimezone(timezone(timedelta(hours=3)))])
def test_a_moment_is_read_as_utc_whatever_zone_the_session_shows_it_in(kept: datetime) -> None:
    read = Timestamp().process_result_value(kept, postgresql.dialect())  # type: ignore[no-untyped-call]
    assert read is not None
    assert (read, read.tzinfo) == (MONDAY, timezone.utc)


def test_a_moment_comes_back_to_the_microsecond_in_utc(table: ResultTable) -> None:
    moment = datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=3)))
    table.write([found("s3://b/1", at=moment)])
    kept = table.lookup(["s3://b/1"])["s3://b/1"].searched_at
    assert kept == moment
    assert kept.tzinfo is timezone.utc
