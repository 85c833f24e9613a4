"""Database errors: which are retried, what they say and what they never show."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from airflow_provider_yandex_vision.compat import AirflowException, BaseHook
from airflow_provider_yandex_vision.results.database import (
    SQLITE_CACHED_STATEMENTS,
    SQLITE_LOCK_SECONDS,
    Database,
    sql_engine,
)
from airflow_provider_yandex_vision.results.rows import image_id
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, DatabaseError
from tests.results.samples import FIRST_RUN, SHA, found, match, select_rows
from tests.support.hostile import FORGERY, forges
from tests.support.proxy import Proxy

servers_only = pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)

SECRET_TITLE = "Nobody may read this"
PASSWORD = "swordfish-42"


class Pauses:
    """A sleep that records the pauses and performs the next action instead of waiting."""

    def __init__(self, *actions: Callable[[], object]) -> None:
        self.seconds: list[float] = []
        self._actions = list(actions)

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if self._actions:
            self._actions.pop(0)()


def no_pause(seconds: float) -> None:
    pytest.fail(f"paused for {seconds} s")


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    target = make_url(url)
    assert target.host is not None
    assert target.port is not None
    proxy = Proxy(target.host, target.port)
    yield proxy
    proxy.cut()


@pytest.fixture
def far_engine(url: str, proxy: Proxy) -> Iterator[Engine]:
    engine = create_engine(make_url(url).set(port=proxy.port))
    yield engine
    engine.dispose()


@servers_only
def test_lost_connection_is_replaced(
    far_engine: Engine, proxy: Proxy, engine: Engine, table: ResultTable, caplog: pytest.LogCaptureFixture
) -> None:
    pauses = Pauses(lambda: None, proxy.restore)
    far = ResultTable(far_engine, table.name, FIRST_RUN, sleep=pauses, random=lambda: 0.5)
    far.write([found("s3://b/1", "page")])
    proxy.cut()
    far.write([found("s3://b/2", "page")])
    assert select_rows(engine, table.name, "image_uri") == [("s3://b/1",), ("s3://b/2",)]
    assert pauses.seconds == [0.25, 0.5]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert f"cannot write table {table.name} at {engine.dialect.name}://127.0.0.1/test" in warnings[1]
    assert warnings[1].endswith("retrying in 0.5 s, for 60 s more")


@servers_only
def test_retries_end_after_a_minute(
    far_engine: Engine, proxy: Proxy, table: ResultTable, caplog: pytest.LogCaptureFixture
) -> None:
    pauses = Pauses()
    far = ResultTable(far_engine, table.name, FIRST_RUN, sleep=pauses, random=lambda: 1.0)
    far.write([found("s3://b/1")])
    proxy.cut()
    with pytest.raises(DatabaseError, match=f"table {table.name} at .*gave up after 11 attempts and 60 s"):
        far.lookup(["s3://b/1"])
    assert pauses.seconds == [0.5, 1, 2, 4, 8, 10, 10, 10, 10, 4.5]
    assert len(caplog.records) == 10


@pytest.mark.parametrize("driver", ["postgresql+psycopg2", "mysql+pymysql"])
def test_password_is_never_shown(driver: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = create_engine(f"{driver}://reader:{PASSWORD}@127.0.0.1:1/test")
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1/test") as caught:
        ResultTable(engine, "copies", FIRST_RUN, sleep=Pauses()).prepare()
    assert "reader:" not in str(caught.value) + caplog.text
    assert PASSWORD not in str(caught.value) + caplog.text


@servers_only
def test_first_connection_is_retried(far_engine: Engine, proxy: Proxy, name: str) -> None:
    proxy.cut()
    pauses = Pauses(proxy.restore)
    ResultTable(far_engine, name, FIRST_RUN, sleep=pauses).prepare()
    assert len(pauses.seconds) == 1


@servers_only
def test_connection_killed_by_the_server_is_replaced(engine: Engine, table: ResultTable) -> None:
    kill = {
        "postgresql": "SELECT pg_terminate_backend({})",
        "mysql": "KILL {}",
    }[engine.dialect.name]
    own_id = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT connection_id()"}[engine.dialect.name]
    victims = iter([True])

    def kill_once(connection: Connection, _: object, statement: str, *_rest: object) -> None:
        if "_matches" in statement and next(victims, False):
            victim = connection.exec_driver_sql(own_id).scalar()
            with engine.connect() as other:
                other.exec_driver_sql(kill.format(victim))

    event.listen(engine, "before_cursor_execute", kill_once)
    pauses = Pauses()
    ResultTable(engine, table.name, FIRST_RUN, sleep=pauses).write([found("s3://b/1", "page")])
    assert len(pauses.seconds) == 1
    assert select_rows(engine, f"{table.name}_matches", "page_url") == [("page",)]


@servers_only
def test_deadlock_victim_retries(engine: Engine, table: ResultTable) -> None:
    """Two transactions lock the same two rows in opposite order."""
    table.write([found("s3://b/1"), found("s3://b/2")])
    both_hold_one = threading.Barrier(2, timeout=10)
    pauses = Pauses()

    def take(first: str, second: str) -> None:
        first_tries = iter([True])

        def work(connection: Connection) -> None:
            query = text(f"UPDATE {table.name} SET etag = :etag WHERE image_id = :key")
            connection.execute(query, {"key": image_id(first), "etag": first})
            if next(first_tries, False):
                both_hold_one.wait()
            connection.execute(query, {"key": image_id(second), "etag": first})

        Database(engine, table.name, pauses, random.random).transact("write", work)

    with ThreadPoolExecutor() as pool:
        list(pool.map(take, ["s3://b/1", "s3://b/2"], ["s3://b/2", "s3://b/1"]))
    assert pauses.seconds
    ((etag,), (same,)) = select_rows(engine, table.name, "etag")
    assert etag == same


@pytest.mark.parametrize("url", ["sqlite", "mysql"], indirect=True)
def test_lock_timeout_is_retried(url: str, table: ResultTable, engine: Engine) -> None:
    holder = create_engine(url).connect()
    lock = {"sqlite": "BEGIN IMMEDIATE", "mysql": f"SELECT * FROM {table.name} FOR UPDATE"}[engine.dialect.name]
    table.write([found("s3://b/1")])
    holder.exec_driver_sql(lock)
    hasty = {"sqlite": {"timeout": 0.01}, "mysql": {"init_command": "SET innodb_lock_wait_timeout = 1"}}
    waiting = create_engine(url, connect_args=hasty[engine.dialect.name])
    pauses = Pauses(holder.close)
    ResultTable(waiting, table.name, FIRST_RUN, sleep=pauses).write([found("s3://b/1", "page")])
    waiting.dispose()
    holder.engine.dispose()
    (pause,) = pauses.seconds
    assert 0 <= pause <= 0.5


def test_missing_table_fails_at_once(engine: Engine, table: ResultTable) -> None:
    with engine.begin() as connection:
        for each in ("VIEW {}_open", "VIEW {}_findings", "TABLE {}_matches"):
            connection.execute(text(f"DROP {each.format(table.name)}"))
    with pytest.raises(DatabaseError, match=f"cannot write table {table.name} at .*{table.name}_matches") as caught:
        ResultTable(engine, table.name, FIRST_RUN, sleep=no_pause).write(
            [found("s3://b/1", match("page", title=SECRET_TITLE))]
        )
    assert select_rows(engine, table.name, "image_id") == []
    assert SECRET_TITLE not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
class TestFullDisk:
    @pytest.fixture
    def pages(self, engine: Engine, table: ResultTable) -> list[int]:
        """How many the file may have at most."""
        with engine.connect() as connection:
            pages = [int(connection.exec_driver_sql("PRAGMA page_count").scalar() or 0)]
        event.listen(engine, "checkout", lambda raw, *_: raw.execute(f"PRAGMA max_page_count = {pages[0]}"))
        return pages

    def test_is_waited_out(self, engine: Engine, table: ResultTable, pages: list[int]) -> None:
        def make_room() -> None:
            pages[0] += 1000

        patient = ResultTable(engine, table.name, FIRST_RUN, sleep=Pauses(make_room))
        assert patient.write([found("s3://b/1", match("page", title="t" * 100_000))]) == []
        assert select_rows(engine, table.name, "status") == [("found",)]

    def test_is_waited_out_at_the_start(self, engine: Engine, table: ResultTable, pages: list[int]) -> None:
        def make_room() -> None:
            pages[0] += 1000

        ResultTable(engine, table.name, FIRST_RUN, sleep=Pauses(make_room)).prepare()

    def test_is_nothing_to_configure(self, engine: Engine, table: ResultTable, pages: list[int]) -> None:
        with pytest.raises(DatabaseError, match="disk is full; gave up after") as caught:
            ResultTable(engine, table.name, FIRST_RUN, sleep=Pauses()).prepare()
        assert not isinstance(caught.value, ConfigurationError)


@servers_only
def test_failover_to_read_only_is_waited_out_at_the_start(engine: Engine, name: str) -> None:
    mode = ["READ ONLY"]
    scope = {"postgresql": "TRANSACTION", "mysql": "SESSION TRANSACTION"}[engine.dialect.name]
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(f"SET {scope} {mode[0]}"))

    def fail_back() -> None:
        mode[0] = "READ WRITE"

    pauses = Pauses(fail_back)
    table = ResultTable(engine, name, FIRST_RUN, sleep=pauses)
    table.prepare()
    assert len(pauses.seconds) == 1
    mode[0] = "READ ONLY"
    table = ResultTable(engine, name, FIRST_RUN, sleep=Pauses(fail_back))
    assert table.write([found("s3://b/1", "page")]) == []


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_lack_of_connections_is_waited_out_at_the_start(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE n{name} LOGIN CONNECTION LIMIT 1")
        connection.exec_driver_sql(f"GRANT CREATE ON SCHEMA public TO n{name}")
    limited = create_engine(engine.url.set(username=f"n{name}"), poolclass=NullPool)
    holder = limited.connect()

    def end_holder() -> None:
        holder.close()
        time.sleep(0.2)  # the server needs a moment to notice

    try:
        ResultTable(limited, name, FIRST_RUN, sleep=Pauses(end_holder)).prepare()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY n{name}")
            connection.exec_driver_sql(f"DROP ROLE n{name}")


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_error_is_logged_on_one_line(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    def work(connection: Connection) -> None:
        raise OperationalError("SELECT 1", {}, Exception(f"database is locked {FORGERY}"))

    with pytest.raises(DatabaseError) as caught:
        Database(engine, "copies", Pauses(), random.random).transact("write", work)
    assert len(caplog.messages) > 8
    assert not any(map(forges, [*caplog.messages, str(caught.value)]))


def test_sqlite_is_named_by_its_file() -> None:
    database = Database(create_engine("sqlite:////data/copies.db"), "copies", no_pause, random.random)
    assert database.table == "table copies at sqlite:////data/copies.db"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_engine_of_the_caller_is_not_changed(engine: Engine, table: ResultTable) -> None:
    assert not engine.hide_parameters


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_other_exceptions_propagate(engine: Engine, table: ResultTable) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    event.listen(engine, "before_cursor_execute", interrupt)
    with pytest.raises(KeyboardInterrupt):
        table.known([SHA])
    event.remove(engine, "before_cursor_execute", interrupt)


@pytest.mark.parametrize("driver_says", [ProgrammingError, OperationalError], ids=["permanent", "transient"])
def test_interruption_is_not_lost_in_an_error_of_the_driver(
    engine: Engine, driver_says: type[DBAPIError], table: ResultTable
) -> None:
    """As psycopg raises one, when a query is interrupted that looks whether a connection is alive."""

    def tidy_up() -> None:
        raise RuntimeError("can't change 'autocommit' now")

    def work(_: Connection) -> None:
        try:
            try:
                raise SystemExit(143)
            finally:
                tidy_up()
        except RuntimeError as error:
            raise driver_says("SELECT 1", None, error) from error

    with pytest.raises(SystemExit, match="143"):
        Database(engine, table.name, no_pause, random.random).transact("write", work)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_interrupted_write_releases_its_lock(url: str) -> None:
    """Even while a reference to the exception exists."""

    class Interrupting:
        def __conform__(self, _protocol: object) -> None:
            raise KeyboardInterrupt

    def write(engine: Engine, *numbers: object) -> None:
        rows: Any = [(number,) for number in numbers]
        Database(engine, "numbers", no_pause, random.random).transact(
            "write", lambda connection: connection.exec_driver_sql("INSERT INTO numbers VALUES (?)", rows)
        )

    first, second = (create_engine(url, connect_args={"timeout": 0}) for _ in range(2))
    with ExitStack() as engines:
        for engine in (first, second):
            engines.callback(engine.dispose)
        with second.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE numbers (n INTEGER)")
        with pytest.raises(KeyboardInterrupt) as interrupted:
            write(first, 1, Interrupting())
        write(second, 2)
        assert interrupted.value.__traceback__
        assert select_rows(second, "numbers", "n") == [(2,)]


def test_sqlite_engine_waits_for_locks_and_caches_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "sqlite", "host": str(tmp_path / "results.db")}
    monkeypatch.setenv("AIRFLOW_CONN_RESULTS_DB", json.dumps(connection))
    engine, settings = sql_engine("results_db"), {}

    @event.listens_for(engine, "do_connect")
    def note(_dialect: object, _record: object, _arguments: object, given: dict[str, Any]) -> None:
        settings.update(given)

    engine.connect().close()
    engine.dispose()
    assert (settings["timeout"], settings["cached_statements"]) == (SQLITE_LOCK_SECONDS, SQLITE_CACHED_STATEMENTS)


@pytest.mark.parametrize(
    ("connection", "message"),
    [(None, "does not exist"), ({"conn_type": "yandex_vision", "password": PASSWORD}, "is not an SQL database")],
)
def test_connection_must_be_an_sql_database(
    connection: dict[str, str] | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_RESULTS_DB", json.dumps(connection))
    with pytest.raises(ConfigurationError, match=f"connection 'results_db' {message}"):
        sql_engine("results_db")


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("nosuch", ".*nosuch"), ("postgres", r": pip install 'airflow-provider-yandex-vision\[postgres\]'$")],
)
def test_missing_provider_of_a_database_is_named(kind: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def get_hook(_: object) -> None:
        raise AirflowException(f'Unknown hook type "{kind}"')

    monkeypatch.setenv("AIRFLOW_CONN_RESULTS_DB", json.dumps({"conn_type": kind}))
    monkeypatch.setattr(type(BaseHook.get_connection("results_db")), "get_hook", get_hook)
    with pytest.raises(ConfigurationError, match=f"provider for connection 'results_db' is not installed{hint}"):
        sql_engine("results_db")
