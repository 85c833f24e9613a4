"""What is found out before anything is paid."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, create_engine, inspect, text
from sqlalchemy.engine import Engine, make_url

from airflow_provider_yandex_vision.results import ResultTable
from airflow_provider_yandex_vision.results.tables import Tables
from airflow_provider_yandex_vision.vision.errors import TableError
from tests.results.conftest import server_url
from tests.results.samples import FIRST_RUN, SECOND_RUN, SHA, found, select_rows


@pytest.fixture
def nobody(name: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Somebody who may log in, and no more."""
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
def test_both_tables_are_created_with_their_indexes(engine: Engine, name: str) -> None:
    ResultTable(engine, name, FIRST_RUN).prepare()
    indexed = [
        [index["column_names"] for index in inspect(engine).get_indexes(each)] for each in (name, f"{name}_matches")
    ]
    assert sorted(indexed[0]) == [["content_sha256"], ["run_id"]]
    assert sorted(indexed[1]) == [["first_seen_run_id"], ["image_id"]]


def test_preparing_leaves_no_row_and_changes_none(engine: Engine, table: ResultTable) -> None:
    table.write([found("s3://b/1", "page")])
    ResultTable(engine, table.name, SECOND_RUN).prepare()
    assert select_rows(engine, table.name, "image_uri", "run_id") == [("s3://b/1", FIRST_RUN.run_id)]
    assert select_rows(engine, f"{table.name}_matches", "page_url") == [("page",)]


def test_the_other_table_is_created_where_one_is_there(engine: Engine, name: str) -> None:
    Tables.named(name).images.create(engine)
    ResultTable(engine, name, FIRST_RUN).prepare()
    assert select_rows(engine, f"{name}_matches", "match_id") == []


def test_a_missing_table_is_told_where_none_shall_be_created(engine: Engine, name: str) -> None:
    Tables.named(name).images.create(engine)
    with pytest.raises(TableError, match=f"lacks {name}_matches: create what is missing, or set create_table=True"):
        ResultTable(engine, name, FIRST_RUN).prepare(create=False)


def test_both_missing_tables_are_told_where_none_shall_be_created(engine: Engine, name: str) -> None:
    with pytest.raises(TableError, match=f"lacks {name}, {name}_matches: create"):
        ResultTable(engine, name, FIRST_RUN).prepare(create=False)


def test_a_table_of_another_shape_is_told_with_its_missing_columns(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {name} (image_id CHAR(64) PRIMARY KEY, image_uri TEXT, status TEXT)"))
    with pytest.raises(TableError, match=f"{name} has no column copy_count, match_count, error_code"):
        ResultTable(engine, name, FIRST_RUN).prepare()


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_a_table_without_its_key_is_told(engine: Engine, name: str) -> None:
    """MySQL would take every row twice without a word."""
    with engine.begin() as connection:
        for each in Tables.named(name):
            each.create(connection)
            connection.execute(text(f"CREATE TABLE {each.name}_keyless AS SELECT * FROM {each.name}"))
            each.drop(connection)
            connection.execute(text(f"ALTER TABLE {each.name}_keyless RENAME TO {each.name}"))
    with pytest.raises(TableError, match=r"no primary key|ON CONFLICT"):
        ResultTable(engine, name, FIRST_RUN).prepare()


def test_a_column_too_many_that_must_be_filled_is_told(engine: Engine, name: str) -> None:
    tables = Tables.named(name)
    tables.images.append_column(Column("owner", Integer, nullable=False))
    tables.images.create(engine)
    with pytest.raises(TableError, match="cannot write"):
        ResultTable(engine, name, FIRST_RUN, sleep=lambda seconds: None).prepare()


@pytest.mark.parametrize(("url", "nobody"), [("postgresql", "postgresql"), ("mysql", "mysql")], indirect=True)
class TestRights:
    def test_no_right_to_create_is_told(self, nobody: Engine, name: str) -> None:
        with pytest.raises(TableError, match=rf"cannot (create|look for) table {name}"):
            ResultTable(nobody, name, FIRST_RUN).prepare()

    def test_no_right_to_write_is_told(self, nobody: Engine, table: ResultTable, engine: Engine) -> None:
        with engine.begin() as connection:
            for each in Tables.named(table.name):
                connection.execute(text(f"GRANT SELECT ON {each.name} TO {nobody.url.username}"))
        try:
            with pytest.raises(TableError, match=f"cannot write table {table.name}"):
                ResultTable(nobody, table.name, FIRST_RUN).prepare()
        finally:
            for each in Tables.named(table.name):
                each.drop(engine)


def test_a_schema_that_is_missing_is_told(engine: Engine) -> None:
    with pytest.raises(TableError, match="nowhere"):
        ResultTable(engine, "nowhere.copies", FIRST_RUN).prepare()


@pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)
def test_a_schema_of_its_own_works(engine: Engine, name: str) -> None:
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


def test_eight_tasks_that_start_together_all_get_the_tables(url: str, engine: Engine, name: str) -> None:
    engines = [engine] * 8 if engine.dialect.name == "duckdb" else [create_engine(url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: ResultTable(each, name, FIRST_RUN).prepare(), engines))
    for each in engines:
        each.dispose()
    assert select_rows(engine, name, "image_id") == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/nowhere/results.db")
    with pytest.raises(TableError, match="unable to open database file"):
        ResultTable(engine, "copies", FIRST_RUN).prepare()
