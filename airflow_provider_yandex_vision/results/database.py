"""Transactions that wait for trouble to pass, and the engine of a connection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from traceback import clear_frames
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import Select

from airflow_provider_yandex_vision.compat import AirflowException, AirflowNotFoundException, BaseHook
from airflow_provider_yandex_vision.results.sql_errors import describe, is_duplicate, is_transient
from airflow_provider_yandex_vision.search.pacing import Backoff, Random, Sleep
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, DatabaseError, YandexVisionError, printable

T = TypeVar("T")

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds to wait, all pauses together, for a transient error to pass."""
SHORTEST_PAUSE, FIRST_PAUSE, LONGEST_PAUSE = 0.1, 0.5, 10.0

SQLITE_LOCK_SECONDS = 30
SQLITE_CACHED_STATEMENTS = 16
"""Python's default of 128 costs 10 MB: a query for a list of keys is a new statement for every length of the list."""

EXTRAS = {"postgres": "postgres", "mysql": "mysql", "sqlite": "sqlite"}
"""Extras that install the provider of a connection type."""

KEYS_PER_QUERY = 900
"""Older SQLite allows 999 parameters per statement, Oracle 1,000 values per IN."""


class Database:
    """Runs work in transactions and retries transient errors.

    Neither errors nor log lines contain values of rows.

    :param table: name of the table in errors.
    """

    def __init__(self, engine: Engine, table: str, sleep: Sleep, random: Random) -> None:
        self._engine = engine.execution_options()  # a copy: the caller's engine keeps its setting
        self._engine.hide_parameters = True
        self.table = f"table {table} at {engine.url.get_backend_name()}://{engine.url.host or ''}/{engine.url.database}"
        self.dialect = engine.dialect
        self._sleep = sleep
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, random)

    def transact(
        self,
        action: str,
        work: Callable[[Connection], T],
        permanent: type[YandexVisionError] = DatabaseError,
        patience: float = PATIENCE,
    ) -> T:
        """Run ``work`` in one transaction.

        ``work`` must be idempotent: it runs again if the connection breaks during the commit.

        :param action: verb for errors, such as ``write``.
        :param permanent: error to raise if a retry cannot help.
        :param patience: seconds to wait for a transient error to pass.
        :raises DatabaseError: a transient error persisted for that long.
        """
        left = patience
        for attempt in count(1):
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except (SQLAlchemyError, UnicodeError) as error:
                if interruption := _interruption(error):
                    raise interruption from None
                message = f"cannot {action} {self.table}: {describe(error)}"
                # Not chained: the driver's error may quote a row.
                if not is_transient(error):
                    raise permanent(message) from None
                if left <= 0:
                    raise DatabaseError(f"{message}; gave up after {attempt} attempts and {patience:.0f} s") from None
                # Losing a race for a row or a table is business as usual.
                level = logging.DEBUG if is_duplicate(error) else logging.WARNING
            except BaseException as error:
                # An interrupted statement holds SQLite's lock as long as the frames that refer to it.
                clear_frames(error.__traceback__)
                raise
            seconds = min(max(self._backoff.delay(attempt), SHORTEST_PAUSE), left)
            log.log(level, "%s; retrying in %.1f s, for %.0f s more", printable(message), seconds, left)
            self._sleep(seconds)
            left -= seconds
        raise AssertionError("count() does not end")

    def fetch(self, query: Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """:param values: of the query's parameters."""
        return self.transact("read", lambda connection: connection.execute(query, values or {}).fetchall())


def column_names(connection: Connection, table: sa.Table) -> list[str]:
    """Columns of a table or view as it is in the database; empty if it does not exist."""
    if not sa.inspect(connection).has_table(table.name, schema=table.schema):
        return []
    # An empty SELECT works on any database; reflection of columns does not.
    query = sa.select(sa.literal_column("*", type_=sa.Unicode)).select_from(table).where(sa.text("1 = 0"))
    return list(connection.execute(query).keys())


def _interruption(error: BaseException | None) -> BaseException | None:
    """What ended a statement, such as ``SystemExit``: a driver that fails to tidy up raises another error after it."""
    while error is not None and isinstance(error, Exception):
        error = error.__cause__ or error.__context__
    return error


def sql_engine(sql_conn_id: str) -> Engine:
    """:raises ConfigurationError: the connection does not exist, or is not an SQL database."""
    try:
        connection: Any = BaseHook.get_connection(sql_conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(f"connection {sql_conn_id!r} does not exist (sql_conn_id)") from None
    kind = connection.conn_type
    try:
        hook = connection.get_hook()
    except (ImportError, AirflowException) as error:
        # Without the provider, Airflow does not know the type of the connection.
        extra = f": pip install 'airflow-provider-yandex-vision[{EXTRAS[kind]}]'" if kind in EXTRAS else f": {error}"
        raise ConfigurationError(f"the provider for connection {sql_conn_id!r} is not installed{extra}") from error
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise ConfigurationError(f"connection {sql_conn_id!r} is not an SQL database")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if getattr(hook, "conn_type", "") == "sqlite":
        # SQLite allows one writer at a time: parallel tasks wait for the lock.
        options["connect_args"] = {"timeout": SQLITE_LOCK_SECONDS, "cached_statements": SQLITE_CACHED_STATEMENTS}
    engine: Engine = hook.get_sqlalchemy_engine(engine_kwargs=options)
    return engine


def chunks(items: Iterable[T], size: int = KEYS_PER_QUERY) -> Iterator[list[T]]:
    """Lists of ``size`` items; the last one may be shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
