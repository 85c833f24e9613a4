from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_mock_engine, event
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results import upsert
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.errors import TableError
from tests.results.samples import FIRST_RUN, SECOND_RUN, TUESDAY, found, select_rows


@pytest.mark.parametrize("url", ["duckdb"], indirect=True)
def test_duckdb_survives_a_race_for_a_key(engine: Engine, table: ResultTable) -> None:
    """Another writer inserts a row just before ours."""
    first_tries = iter([True])

    def insert_first(_1: object, _2: object, statement: str, *_: object) -> None:
        if statement.startswith(f"INSERT INTO {table.name} ") and next(first_tries, False):
            table.write([found("s3://b/1", "theirs")])

    event.listen(engine, "before_cursor_execute", insert_first)
    ours = ResultTable(engine, table.name, SECOND_RUN, sleep=lambda seconds: None)
    ours.write([found("s3://b/1", "theirs", "ours", at=TUESDAY)])
    assert select_rows(engine, table.name, "run_id") == [(SECOND_RUN.run_id,)]
    assert select_rows(engine, f"{table.name}_matches", "page_url", "first_seen_run_id") == [
        ("ours", SECOND_RUN.run_id),
        ("theirs", FIRST_RUN.run_id),
    ]


@pytest.mark.parametrize("url", ["oracle://", "mssql+pyodbc://"])
def test_untested_database_is_refused(url: str) -> None:
    engine: Any = create_mock_engine(url, executor=None)
    with pytest.raises(TableError, match=r"(oracle|mssql) is not supported: use SQLite, PostgreSQL"):
        ResultTable(engine, "copies", FIRST_RUN)


def test_duckdb_that_overwrites_other_columns_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsert, "version", lambda name: "1.3.2")
    with pytest.raises(TableError, match=r"DuckDB 1\.3\.2 is not supported: install duckdb 1\.4 or newer"):
        upsert.check_supported("duckdb")


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_rows_are_written_in_key_order(engine: Engine, table: ResultTable) -> None:
    """Writers of the same rows then do not deadlock."""
    written: list[list[str]] = []

    def note(_1: object, _2: object, statement: str, rows: Any, *_: object) -> None:
        if statement.startswith("INSERT"):
            written.append([row[0] for row in rows])

    event.listen(engine, "before_cursor_execute", note)
    table.write([found(f"s3://b/{n}", *"abc") for n in range(20)])
    assert [len(keys) for keys in written] == [20, 60]
    assert all(keys == sorted(keys) for keys in written)


def test_additional_columns_are_kept(engine: Engine, table: ResultTable) -> None:
    table.write([found("s3://b/1", "page")])
    with engine.begin() as connection:
        for name in (table.name, f"{table.name}_matches"):
            connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN note VARCHAR(20)")
            connection.exec_driver_sql(f"UPDATE {name} SET note = 'seen'")
    again = ResultTable(engine, table.name, SECOND_RUN)
    again.prepare()
    again.write([found("s3://b/1", "page", at=TUESDAY)])
    assert select_rows(engine, table.name, "note") == [("seen",)]
    assert select_rows(engine, f"{table.name}_matches", "note") == [("seen",)]
