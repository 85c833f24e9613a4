"""Layout of the tables, and what is checked before any search is paid for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, create_engine, inspect, text
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect, Engine, make_url
from sqlalchemy.schema import CreateTable

from airflow_provider_yandex_vision.results.schema import FindingTables, LedgerTables, Tables, Timestamp
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.errors import TableError
from airflow_provider_yandex_vision.vision.models import CopySearchResult
from tests.results.conftest import drop, server_url
from tests.results.samples import FIRST_RUN, MONDAY, SECOND_RUN, SHA, found, select_rows

COLUMNS = {
    "images": "image_id image_uri object_storage_conn_id status copy_count match_count error_code error_message"
    " content_sha256 etag size_bytes mime_type searched_at checked_at request_id dag_id run_id task_id map_index",
    "matches": "match_id finding_id image_id rank_no image_url page_url domain site title description current"
    " first_seen_at last_seen_at first_seen_dag_id first_seen_run_id",
    "decisions": "kind subject verdict note decided_by decided_at",
    "reported": "report finding_id run_id claimed_at reported_at",
    "findings": "finding_id page_url domain site title description image_url rank image_uri pictures first_seen_at"
    " last_seen_at current verdict note decided_by decided_at open",
}


def test_columns_are_those_documented() -> None:
    images, matches = Tables.named("copies")
    assert [column.name for column in images.columns] == COLUMNS["images"].split()
    assert [column.name for column in matches.columns] == COLUMNS["matches"].split()
    assert (images.name, matches.name) == ("copies", "copies_matches")
    decisions, reported, findings, open_findings = FindingTables.named("copies")
    assert [column.name for column in decisions.columns] == COLUMNS["decisions"].split()
    assert [column.name for column in reported.columns] == COLUMNS["reported"].split()
    assert [column.name for column in findings.columns] == COLUMNS["findings"].split()
    assert [column.name for column in open_findings.columns] == COLUMNS["findings"].split()
    assert (decisions.name, reported.name) == ("copies_decisions", "copies_reported")
    assert (findings.name, open_findings.name) == ("copies_findings", "copies_open")


def test_name_may_include_a_schema() -> None:
    images, matches = Tables.named("press.copies")
    assert (images.fullname, matches.fullname) == ("press.copies", "press.copies_matches")


@pytest.mark.parametrize(
    "name", ["", "x; drop table y", 'x"', "x'", "a b", "a-b", "1st", "a.b.c", ".x", "x.", "снимки", "x\n", "x" * 54]
)
def test_invalid_name_is_rejected(name: str) -> None:
    with pytest.raises(TableError, match="not a table name"):
        Tables.named(name)


def test_longest_name_fits_every_database(engine: Engine, name: str) -> None:
    longest = name.ljust(53, "x")
    try:
        ResultTable(engine, longest, FIRST_RUN).prepare()
        assert select_rows(engine, f"{longest}_matches", "match_id") == []
    finally:
        drop(engine, longest)


@pytest.mark.parametrize("server", ["mysql", "mariadb"])
def test_mysql_stores_text_exactly(server: str) -> None:
    dialect: Dialect = mysql.dialect()
    dialect.name = server
    for each in Tables.named("copies"):
        ddl = str(CreateTable(each).compile(dialect=dialect))
        assert "LONGTEXT" in ddl
        assert "DATETIME(6)" in ddl
        assert "utf8mb4_bin" in ddl
        assert "ENGINE=InnoDB" in ddl


def test_postgresql_stores_time_zones() -> None:
    dialect: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    ddl = str(CreateTable(Tables.named("copies").images).compile(dialect=dialect))
    assert "searched_at TIMESTAMP WITH TIME ZONE" in ddl


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local time zone is not UTC."""
    monkeypatch.setenv("TZ", "Asia/Vladivostok")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_east")
def test_times_are_utc_in_any_local_time_zone(engine: Engine, table: ResultTable) -> None:
    before = datetime.now(timezone.utc)
    table.write([found("s3://b/1"), CopySearchResult("s3://b/2", "failed")])
    stored = ResultTable(engine, table.name, FIRST_RUN).lookup(["s3://b/1", "s3://b/2"])
    assert stored["s3://b/1"].searched_at == MONDAY
    assert before <= stored["s3://b/2"].searched_at <= datetime.now(timezone.utc)
    ((raw,), *_) = select_rows(engine, table.name, "searched_at")
    if engine.dialect.name != "postgresql":  # it shows times in the session's time zone
        assert str(raw).startswith("2026-01-05 12:30:15.123456")


@pytest.mark.parametrize(("dialect", "zone"), [(postgresql.dialect, timezone.utc), (mysql.dialect, None)])
def test_only_postgresql_gets_the_time_zone(dialect: Callable[[], Dialect], zone: timezone | None) -> None:
    """It would assume the session's time zone otherwise; other databases have no time zones."""
    in_moscow = MONDAY.astimezone(timezone(timedelta(hours=3)))
    bound = Timestamp().process_bind_param(in_moscow, dialect())
    assert bound is not None
    assert (bound.tzinfo, bound.replace(tzinfo=timezone.utc)) == (zone, MONDAY)


@pytest.mark.parametrize("stored", [MONDAY.replace(tzinfo=None), MONDAY.astimezone(timezone(timedelta(hours=3)))])
def test_times_are_read_as_utc_in_any_session(stored: datetime) -> None:
    read = Timestamp().process_result_value(stored, postgresql.dialect())  # type: ignore[no-untyped-call]
    assert read is not None
    assert (read, read.tzinfo) == (MONDAY, timezone.utc)


def test_times_keep_their_microseconds(table: ResultTable) -> None:
    moment = datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=3)))
    table.write([found("s3://b/1", at=moment)])
    stored = table.lookup(["s3://b/1"])["s3://b/1"].searched_at
    assert stored == moment
    assert stored.tzinfo is timezone.utc


@pytest.fixture
def nobody(name: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A user with no permissions except to log in."""
    url = server_url(request.param)
    admin, user = create_engine(url), name[-12:]
    login = {"postgresql": "CREATE ROLE {0} LOGIN", "mysql": "CREATE USER {0} IDENTIFIED BY ''"}[request.param]
    with admin.begin() as connection:
        connection.execute(text(login.format(f"n{user}")))
    engine = create_engine(make_url(url).set(username=f"n{user}"))
    yield engine
    engine.dispose()
    with admin.begin() as connection:
        connection.execute(text(f"DROP {'ROLE' if request.param == 'postgresql' else 'USER'} n{user}"))
    admin.dispose()


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_tables_are_created_with_indexes(engine: Engine, name: str) -> None:
    ResultTable(engine, name, FIRST_RUN).prepare()
    indexed = [
        [index["column_names"] for index in inspect(engine).get_indexes(each)] for each in (name, f"{name}_matches")
    ]
    assert sorted(indexed[0]) == [["content_sha256"], ["run_id"]]
    assert sorted(indexed[1]) == [
        ["finding_id"],
        ["first_seen_at", "finding_id"],
        ["first_seen_dag_id", "first_seen_run_id"],
        ["image_id"],
    ]


def test_preparation_changes_no_rows(engine: Engine, table: ResultTable) -> None:
    table.write([found("s3://b/1", "page")])
    ResultTable(engine, table.name, SECOND_RUN).prepare()
    assert select_rows(engine, table.name, "image_uri", "run_id") == [("s3://b/1", FIRST_RUN.run_id)]
    assert select_rows(engine, f"{table.name}_matches", "page_url") == [("page",)]


def test_one_missing_table_is_created(engine: Engine, name: str) -> None:
    Tables.named(name).images.create(engine)
    ResultTable(engine, name, FIRST_RUN).prepare()
    assert select_rows(engine, f"{name}_matches", "match_id") == []


def test_missing_table_is_an_error_without_create(engine: Engine, name: str) -> None:
    Tables.named(name).images.create(engine)
    with pytest.raises(TableError, match=f"lacks {name}_matches, .*: run these .* create_table=True: CREATE TABLE"):
        ResultTable(engine, name, FIRST_RUN).prepare(create=False)


def test_error_names_all_missing_tables(engine: Engine, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setLevel(logging.INFO)
    with pytest.raises(
        TableError, match=f"lacks {name}, {name}_matches, {name}_tasks, {name}_claims, {name}_decisions, "
    ) as caught:
        ResultTable(engine, name, FIRST_RUN).prepare(create=False)
    assert "CREATE" not in str(caught.value)
    logged = [str(record.args[0]) for record in caplog.records if isinstance(record.args, tuple)]
    with engine.begin() as connection:
        for statement in logged:
            connection.exec_driver_sql(statement.replace("%", "%%"))
    ResultTable(engine, name, FIRST_RUN).prepare(create=False)


def test_error_names_missing_columns(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {name} (image_id CHAR(64) PRIMARY KEY, image_uri TEXT, status TEXT)"))
    with pytest.raises(TableError, match=f"{name} has no column searched_at, dag_id, run_id, task_id"):
        ResultTable(engine, name, FIRST_RUN).prepare()


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_missing_primary_key_is_an_error(engine: Engine, name: str) -> None:
    """MySQL would silently store every row twice."""
    with engine.begin() as connection:
        for each in Tables.named(name):
            each.create(connection)
            connection.execute(text(f"CREATE TABLE {each.name}_keyless AS SELECT * FROM {each.name}"))
            each.drop(connection)
            connection.execute(text(f"ALTER TABLE {each.name}_keyless RENAME TO {each.name}"))
    with pytest.raises(TableError, match=r"no primary key|ON CONFLICT"):
        ResultTable(engine, name, FIRST_RUN).prepare()


def test_additional_column_without_default_is_an_error(engine: Engine, name: str) -> None:
    tables = Tables.named(name)
    tables.images.append_column(Column("owner", Integer, nullable=False))
    tables.images.create(engine)
    with pytest.raises(TableError, match="cannot write"):
        ResultTable(engine, name, FIRST_RUN, sleep=lambda seconds: None).prepare()


@pytest.mark.parametrize(("url", "nobody"), [("postgresql", "postgresql"), ("mysql", "mysql")], indirect=True)
class TestPermissions:
    def test_create_permission_is_checked(self, nobody: Engine, name: str) -> None:
        with pytest.raises(TableError, match=rf"cannot (create|read) table {name}"):
            ResultTable(nobody, name, FIRST_RUN).prepare()

    def test_write_permission_is_checked(self, nobody: Engine, table: ResultTable, engine: Engine) -> None:
        with engine.begin() as connection:
            for each in (*Tables.named(table.name), *LedgerTables.named(table.name), *FindingTables.named(table.name)):
                connection.execute(text(f"GRANT SELECT ON {each.name} TO {nobody.url.username}"))
        try:
            with pytest.raises(TableError, match=f"cannot write table {table.name}"):
                ResultTable(nobody, table.name, FIRST_RUN).prepare()
        finally:
            drop(engine, table.name)


def test_missing_schema_is_an_error(engine: Engine) -> None:
    with pytest.raises(TableError, match="nowhere"):
        ResultTable(engine, "nowhere.copies", FIRST_RUN).prepare()


@pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)
def test_tables_in_a_schema_work(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    try:
        table = ResultTable(engine, f"{name}.copies", FIRST_RUN)
        table.prepare()
        for _ in range(2):
            table.write([found("s3://b/1", "page", sha256=SHA)])
        assert table.new_matches() == 1
        assert len(table.known([SHA])[SHA].matches) == 1
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {name}{' CASCADE' if engine.dialect.name == 'postgresql' else ''}"))


def test_tasks_may_race_to_create_the_tables(url: str, engine: Engine, name: str) -> None:
    engines = [engine] * 8 if engine.dialect.name == "duckdb" else [create_engine(url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: ResultTable(each, name, FIRST_RUN).prepare(), engines))
    for each in engines:
        each.dispose()
    assert select_rows(engine, name, "image_id") == []


def test_missing_sqlite_folder_is_an_error(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/nowhere/results.db")
    with pytest.raises(TableError, match="unable to open database file"):
        ResultTable(engine, "copies", FIRST_RUN).prepare()
