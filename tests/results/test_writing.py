"""Rows that a database never takes cost only themselves."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.results.writing import REFUSALS_MEAN_BROKEN_TABLE
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.vision.errors import DatabaseError
from airflow_provider_yandex_vision.vision.models import CopySearchResult
from tests.results.samples import FIRST_RUN, SECOND_RUN, SHA, TUESDAY, found, match, select_rows, unanswered

SECRET_TITLE = "Nobody may read this"

OBSTACLES = {
    "postgresql": "ALTER TABLE {0} ALTER COLUMN title TYPE VARCHAR(255)",
    "mysql": "ALTER TABLE {0} MODIFY title VARCHAR(255)",
    "duckdb": "CREATE UNIQUE INDEX {0}_title ON {0} (title)",
    "sqlite": "CREATE UNIQUE INDEX {0}_title ON {0} (title)",
}


@pytest.fixture
def narrow(engine: Engine, table: ResultTable) -> ResultTable:
    """A table that does not take a long title, or one that occurs twice, and that looked well at first."""
    with engine.begin() as connection:
        connection.exec_driver_sql(OBSTACLES[engine.dialect.name].format(f"{table.name}_matches"))
    return ResultTable(engine, table.name, FIRST_RUN, sleep=lambda seconds: None)


def good(number: int) -> CopySearchResult:
    return found(f"s3://b/{number}", match("page", title=f"title {number}"), sha256=SHA)


def bad(number: int) -> CopySearchResult:
    """Two pages with one long title."""
    title = f"{number} {SECRET_TITLE}" * 20
    return found(f"s3://b/{number}", match("a", title=title), match("b", title=title), sha256=SHA)


def statuses(engine: Engine, table: ResultTable) -> dict[str, tuple[str, str | None]]:
    return {
        uri: (status, code)
        for uri, status, code in select_rows(engine, table.name, "image_uri", "status", "error_code")
    }


@pytest.mark.parametrize("batch", ["gggb", "bggg", "gbgbggbg", "b", "bb"])
def test_refused_row_is_failed_and_the_others_are_stored(engine: Engine, narrow: ResultTable, batch: str) -> None:
    results = [good(number) if kind == "g" else bad(number) for number, kind in enumerate(batch)]
    refused = narrow.write(results)
    assert [result.uri for result in refused] == [f"s3://b/{n}" for n, kind in enumerate(batch) if kind == "b"]
    assert statuses(engine, narrow) == {
        f"s3://b/{number}": ("found", None) if kind == "g" else ("failed", "NOT_STORED")
        for number, kind in enumerate(batch)
    }
    assert len(select_rows(engine, f"{narrow.name}_matches", "match_id")) == batch.count("g")


def test_refused_answer_leaves_the_one_before(engine: Engine, narrow: ResultTable) -> None:
    narrow.write([good(1)])
    second = ResultTable(engine, narrow.name, SECOND_RUN, sleep=lambda seconds: None)
    second.write([bad(1)])
    assert select_rows(engine, narrow.name, "status", "copy_count", "content_sha256") == [("failed", 1, SHA)]
    assert select_rows(engine, f"{narrow.name}_matches", "title") == [("title 1",)]


def test_refused_row_is_never_shown(engine: Engine, narrow: ResultTable, caplog: pytest.LogCaptureFixture) -> None:
    """Even if the driver quotes the row and the engine logs its statements."""
    caplog.set_level(logging.DEBUG, logger="sqlalchemy.engine")
    narrow.write([bad(1)])
    ((message,),) = select_rows(engine, narrow.name, "error_message")
    assert message.startswith("the database refuses the answer: ")
    assert SECRET_TITLE not in message + caplog.text


def test_table_that_refuses_everything_ends_the_run(engine: Engine, narrow: ResultTable) -> None:
    """Rather than pay for a million rows that say so."""
    for number in range(REFUSALS_MEAN_BROKEN_TABLE - 1):
        narrow.write([bad(number)])
    narrow.write([good(99)])
    for number in range(REFUSALS_MEAN_BROKEN_TABLE - 1):
        narrow.write([bad(number)])
    with pytest.raises(DatabaseError, match=f"cannot write table {narrow.name} .*: it refused 16 results in a row"):
        narrow.write([bad(99)])


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_row_at_which_the_server_hangs_up_is_refused(engine: Engine, table: ResultTable) -> None:
    """As MySQL does with a packet larger than max_allowed_packet."""

    def hang_up(_1: object, _2: object, statement: str, rows: object, *_: object) -> None:
        if len(str(rows)) > 600_000:
            raise OperationalError(statement, {}, Exception("server has gone away"), connection_invalidated=True)

    event.listen(engine, "before_cursor_execute", hang_up)
    giant = found("s3://b/giant", match("page", title="t" * 600_000))
    writer = ResultTable(engine, table.name, FIRST_RUN, sleep=lambda seconds: None)
    assert writer.write([good(1), giant, good(2)]) == [giant]
    assert statuses(engine, table)["s3://b/giant"] == ("failed", "NOT_STORED")
    assert len(statuses(engine, table)) == 3


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_server_that_hangs_up_after_an_error_hides_no_reason(engine: Engine, table: ResultTable) -> None:
    def refuse(connection: Any, _: object, statement: str, rows: object, *_rest: object) -> None:
        if "giant" in str(rows):
            connection.connection.dbapi_connection.close()
            raise OperationalError(statement, {}, Exception(1153, "Got a packet bigger than 'max_allowed_packet'"))

    event.listen(engine, "before_cursor_execute", refuse)
    giant = found("s3://b/2", match("page", title="giant"))
    writer = ResultTable(engine, table.name, FIRST_RUN, sleep=lambda seconds: pytest.fail("waited"))
    assert writer.write([good(1), giant]) == [giant]
    assert statuses(engine, table) == {"s3://b/1": ("found", None), "s3://b/2": ("failed", "NOT_STORED")}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_connection_lost_for_long_is_not_the_fault_of_rows(engine: Engine, table: ResultTable) -> None:
    def hang_up(*_: object) -> None:
        raise OperationalError("", {}, Exception("server has gone away"), connection_invalidated=True)

    event.listen(engine, "before_cursor_execute", hang_up)
    with pytest.raises(DatabaseError, match="gave up after"):
        ResultTable(engine, table.name, FIRST_RUN, sleep=lambda seconds: None).write([good(1), good(2)])
    event.remove(engine, "before_cursor_execute", hang_up)
    assert statuses(engine, table) == {}


def test_result_without_answer_may_be_refused_as_well(engine: Engine, table: ResultTable) -> None:
    with engine.begin() as connection:
        for name in ("etag", "mime_type") if engine.dialect.name in ("postgresql", "mysql") else ():
            kind = "ALTER COLUMN {} TYPE" if engine.dialect.name == "postgresql" else "MODIFY {}"
            connection.exec_driver_sql(f"ALTER TABLE {table.name} {kind.format(name)} VARCHAR(20)")
    result = unanswered("s3://b/1", "rejected", at=TUESDAY, etag="e" * 100)
    refused = table.write([result])
    expected = "failed" if refused else "rejected"
    assert statuses(engine, table)["s3://b/1"][0] == expected


def test_refused_results_count_as_failed() -> None:
    counts = Counts()
    result = found("s3://b/1", "a", "b")
    for _ in range(2):
        counts.add(result.status, result.copy_count, len(result.matches))
    counts.refuse([result])
    assert (counts.found, counts.failed, counts.copies, counts.matches, counts.images) == (1, 1, 2, 2, 2)
