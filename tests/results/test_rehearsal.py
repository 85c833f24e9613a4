"""What the table does not take is said before the first payment, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine, make_url

from airflow_provider_yandex_vision.results.schema import Tables
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.errors import TableError
from tests.results.conftest import server_url
from tests.results.samples import FIRST_RUN, found, select_rows

SAMPLE = "a description of 70 KB with emoji and Cyrillic letters"


def prepare(engine: Engine, name: str) -> None:
    ResultTable(engine, name, FIRST_RUN, sleep=lambda seconds: pytest.fail("waited")).prepare()


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def rows(engine: Engine, name: str) -> int:
    return sum(len(select_rows(engine, each, "image_id")) for each in (name, f"{name}_matches"))


def test_nothing_is_left_behind(engine: Engine, name: str) -> None:
    for _ in range(2):
        prepare(engine, name)
        assert rows(engine, name) == 0


WIDTHS = {
    "postgresql": "ALTER TABLE {} ADD CHECK (char_length({}) <= 255)",
    "mysql": "ALTER TABLE {} MODIFY {} VARCHAR(255)",
}


@pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)
@pytest.mark.parametrize("column", ["title", "description", "page_url", "image_uri", "error_message", "etag"])
def test_narrow_column_is_an_error(engine: Engine, table: ResultTable, column: str) -> None:
    suffix = "" if column in Tables.named(table.name).images.c else "_matches"
    run(engine, WIDTHS[engine.dialect.name].format(f"{table.name}{suffix}", column))
    with pytest.raises(TableError, match=f"cannot write table {table.name} .*: it refuses {SAMPLE}: .*; columns need"):
        prepare(engine, table.name)
    assert rows(engine, table.name) == 0


@pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)
def test_number_that_is_too_small_is_an_error(engine: Engine, table: ResultTable) -> None:
    change = {"postgresql": "ADD CHECK (copy_count < 2147483648)", "mysql": "MODIFY copy_count INTEGER"}
    run(engine, f"ALTER TABLE {table.name} {change[engine.dialect.name]}")
    with pytest.raises(TableError, match="it refuses"):
        prepare(engine, table.name)


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
@pytest.mark.parametrize("charset", ["utf8mb3", "latin1"])
@pytest.mark.parametrize("sql_mode", ["STRICT_ALL_TABLES", ""])
def test_charset_without_emoji_is_an_error(engine: Engine, table: ResultTable, charset: str, sql_mode: str) -> None:
    """Without strict mode, the server cuts text off and says nothing."""
    run(engine, f"ALTER TABLE {table.name}_matches MODIFY description LONGTEXT CHARACTER SET {charset}")
    lenient = create_engine(engine.url, connect_args={"init_command": f"SET sql_mode = '{sql_mode}'"})
    problem = "refuses" if sql_mode else f"column description of {table.name}_matches changes or cuts off"
    with pytest.raises(TableError, match=f"{problem} {SAMPLE}"):
        prepare(lenient, table.name)
    lenient.dispose()
    assert rows(engine, table.name) == 0


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_engine_without_transactions_keeps_nothing(engine: Engine, table: ResultTable) -> None:
    for each in Tables.named(table.name):
        for index in each.indexes:
            if len(index.columns) > 1:  # longer than this engine allows
                index.drop(engine)
        run(engine, f"ALTER TABLE {each.name} ENGINE = MyISAM ROW_FORMAT = DYNAMIC")
    table.write([found("s3://b/1", "page")])
    prepare(engine, table.name)
    assert rows(engine, table.name) == 2
    run(engine, f"ALTER TABLE {table.name}_matches MODIFY description VARCHAR(255)")
    with pytest.raises(TableError, match="it refuses"):
        prepare(engine, table.name)
    assert rows(engine, table.name) == 2


@pytest.mark.parametrize("url", ["mysql"], indirect=True)
def test_small_packet_is_an_error(engine: Engine, table: ResultTable) -> None:
    """The setting is the server's, so that the test pretends."""

    def pretend(_1: object, _2: object, statement: str, parameters: object, *_: object) -> tuple[str, object]:
        return statement.replace("@@max_allowed_packet", "65536"), parameters

    event.listen(engine, "before_cursor_execute", pretend, retval=True)
    with pytest.raises(TableError, match="max_allowed_packet of the server is 65,536 bytes; set it to 1 MB at least"):
        prepare(engine, table.name)


@pytest.fixture
def latin(name: str) -> Iterator[Engine]:
    """A PostgreSQL database of old."""
    url = make_url(server_url("postgresql"))
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    engine = create_engine(url.set(database=name))
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    admin.dispose()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("client", ["utf8", "latin1"])
def test_database_in_latin_is_an_error(latin: Engine, name: str, client: str) -> None:
    """Whether the server refuses the text or the driver."""
    engine = create_engine(latin.url, connect_args={"client_encoding": client})
    with pytest.raises(TableError, match=f"cannot write table {name} .*: it refuses {SAMPLE}"):
        prepare(engine, name)
    assert rows(engine, name) == 0
    engine.dispose()
