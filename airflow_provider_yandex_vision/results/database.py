"""Transactions with retries, and database errors that are safe to show."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from traceback import clear_frames
from typing import Any, TypeVar

from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError
from sqlalchemy.sql import Select

from airflow_provider_yandex_vision.compat import AirflowException, AirflowNotFoundException, BaseHook
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

# PostgreSQL (appendix A): serialization failure, deadlock, lock timeout, shutdown, too many or lost connections.
_SQLSTATES = {"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300", "08001", "08003", "08006"}

# MySQL and MariaDB: changed row, too many connections, shutdown, lock timeout, deadlock, killed, idle timeout;
# from 2000 on, client errors: connection failed or lost.
_MYSQL_ERRORS = {1020, 1040, 1053, 1205, 1213, 1927, 4031, 2002, 2003, 2006, 2013, 2055}

# SQLite has no error codes before Python 3.11, libpq none for failed connections, DuckDB none at all.
_TRANSIENT_WORDS = re.compile(
    r"database (table |schema )?is locked|connection (refused|reset|timed out)|timeout expired|could not connect"
    r"|closed the connection|starting up|shutting down|recovery mode|too many clients|conflict on ",
    re.IGNORECASE,
)

_DUPLICATE = re.compile(r"duplicate (key|entry)|unique constraint (.*violated|failed)", re.IGNORECASE)


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
            except SQLAlchemyError as error:
                message = f"cannot {action} {self.table}: {describe(error)}"
                # Not chained: the driver's error may quote a row.
                if not is_transient(error):
                    raise permanent(message) from None
                if left <= 0:
                    raise DatabaseError(f"{message}; gave up after {attempt} attempts and {patience:.0f} s") from None
                # Losing a race for a row or a table is business as usual.
                level = logging.DEBUG if _is_duplicate(error) else logging.WARNING
            except BaseException as error:
                # An interrupted statement holds SQLite's lock as long as the frames that refer to it.
                clear_frames(error.__traceback__)
                raise
            seconds = min(max(self._backoff.delay(attempt), SHORTEST_PAUSE), left)
            log.log(level, "%s; retrying in %.1f s, for %.0f s more", printable(message), seconds, left)
            self._sleep(seconds)
            left -= seconds
        raise AssertionError("count() does not end")

    def fetch(self, query: Select[Any]) -> Sequence[Row[Any]]:
        return self.transact("read", lambda connection: connection.execute(query).fetchall())


def is_transient(error: SQLAlchemyError) -> bool:
    """Whether a retry may succeed."""
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig
    codes = {getattr(cause, "pgcode", None), getattr(cause, "sqlstate", None), *getattr(cause, "args", ())[:1]}
    return (
        error.connection_invalidated
        or _is_duplicate(error)
        or not codes.isdisjoint(_SQLSTATES | _MYSQL_ERRORS)
        or _TRANSIENT_WORDS.search(str(cause)) is not None
    )


def describe(error: SQLAlchemyError) -> str:
    """The database's message on one line, without values of rows."""
    cause = getattr(error, "orig", None) or error
    if isinstance(error, DataError) or _is_duplicate(error):
        return type(cause).__name__
    # PostgreSQL quotes the row on the second line.
    return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"


def _is_duplicate(error: SQLAlchemyError) -> bool:
    """Whether another writer has just created the same row or table."""
    return isinstance(error, DBAPIError) and _DUPLICATE.search(str(error.orig)) is not None


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
