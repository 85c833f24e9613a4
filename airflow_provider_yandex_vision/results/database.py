"""Transactions on the database: what is tried again, and how trouble is told."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from traceback import clear_frames
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError

from airflow_provider_yandex_vision.search.pacing import Backoff, Random, Sleep
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, DatabaseError, YandexVisionError, printable

T = TypeVar("T")

log = logging.getLogger(__name__)

ATTEMPTS = 9
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 14.5
"""Seconds. Eight pauses that double up to this come to 59 s at most."""

SQLITE_LOCK_SECONDS = 30
SQLITE_KEPT_STATEMENTS = 16
"""A query for a list of keys is another statement for every length, and seldom asked again: 128 of them, as Python's
driver keeps, are 10 MB."""

KEYS_PER_QUERY = 900
"""Older SQLite takes 999 parameters a statement, Oracle 1,000 values in an IN."""

# SQLSTATEs of serialization, deadlock, lock, shutdown, too many and lost connections: PostgreSQL, appendix A.
_SQLSTATES = ("40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300", "08001", "08003", "08006")

# MySQL and MariaDB: changed row, too many connections, shutdown, lock wait, deadlock, killed, idle too long;
# 2000 and up are what clients say of a connection that was lost or not made.
_MYSQL_ERRORS = (1020, 1040, 1053, 1205, 1213, 1927, 4031, 2002, 2003, 2006, 2013, 2055)

_TRANSIENT_CODES = frozenset((*_SQLSTATES, *_MYSQL_ERRORS))

# SQLite's errors have no codes before Python 3.11, libpq's none where there is no connection, DuckDB's never.
_TRANSIENT_WORDS = re.compile(
    r"database (table |schema )?is locked|connection (refused|reset|timed out)|timeout expired|could not connect"
    r"|closed the connection|starting up|shutting down|recovery mode|too many clients|conflict on ",
    re.IGNORECASE,
)

_DUPLICATE = re.compile(r"duplicate (key|entry)|unique constraint (.*violated|failed)", re.IGNORECASE)


class Database:
    """Runs work in transactions, again where that may help.

    Neither errors nor the log show values of rows.

    :param table: how errors name what is worked on.
    """

    def __init__(self, engine: Engine, table: str, sleep: Sleep, random: Random) -> None:
        self._engine = engine.execution_options()  # a view of its own: the caller's engine keeps its setting
        self._engine.hide_parameters = True
        self.table = f"table {table} at {engine.url.get_backend_name()}://{engine.url.host or ''}/{engine.url.database}"
        self._sleep = sleep
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, random)

    def transact(
        self, doing: str, work: Callable[[Connection], T], refusal: type[YandexVisionError] = DatabaseError
    ) -> T:
        """Do the work in one transaction.

        Where the connection breaks during the commit it may run twice, so it must be idempotent.

        :param doing: for errors, such as ``write``.
        :param refusal: what is raised where waiting is no cure.
        :raises DatabaseError: the trouble did not pass within a minute.
        """
        attempt = 1
        while True:
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except SQLAlchemyError as error:
                trouble = f"cannot {doing} {self.table}: {describe(error)}"
                # Not chained, since the driver's error can quote a row.
                if not is_transient(error):
                    raise refusal(trouble) from None
                if attempt == ATTEMPTS:
                    raise DatabaseError(f"{trouble}; gave up after {attempt} attempts") from None
            except BaseException as error:
                # An interrupted statement keeps SQLite's lock for as long as the frames that know it.
                clear_frames(error.__traceback__)
                raise
            self._pause(trouble, attempt)
            attempt += 1

    def _pause(self, trouble: str, attempt: int) -> None:
        seconds = self._backoff.delay(attempt)
        log.warning("%s; next try in %.1f s", printable(trouble), seconds)
        self._sleep(seconds)


def is_transient(error: SQLAlchemyError) -> bool:
    """Whether the same work may succeed a moment later."""
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig
    codes = {getattr(cause, "pgcode", None), getattr(cause, "sqlstate", None), *getattr(cause, "args", ())[:1]}
    return (
        error.connection_invalidated
        or _is_duplicate(error)
        or not codes.isdisjoint(_TRANSIENT_CODES)
        or _TRANSIENT_WORDS.search(str(cause)) is not None
    )


def describe(error: SQLAlchemyError) -> str:
    """The database's own words in one line, without any value of a row."""
    cause = getattr(error, "orig", None) or error
    if isinstance(error, DataError) or _is_duplicate(error):
        return type(cause).__name__
    # PostgreSQL shows the row in the second line.
    return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0]}"


def _is_duplicate(error: SQLAlchemyError) -> bool:
    """Another writer was faster with the same key, or with the same table."""
    return isinstance(error, DBAPIError) and _DUPLICATE.search(str(error.orig)) is not None


def sql_engine(sql_conn_id: str) -> Engine:
    """:raises ConfigurationError: no such connection, or not one of a database."""
    try:
        connection: Any = BaseHook.get_connection(sql_conn_id)
        hook = connection.get_hook()
    except AirflowNotFoundException:
        raise ConfigurationError(f"there is no connection {sql_conn_id!r} for sql_conn_id") from None
    except ImportError as error:
        raise ConfigurationError(f"the provider of connection {sql_conn_id!r} is not installed: {error}") from error
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise ConfigurationError(f"connection {sql_conn_id!r} is of a type that is not an SQL database")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if getattr(hook, "conn_type", "") == "sqlite":
        # SQLite has one writer; parallel tasks wait for their turn.
        options["connect_args"] = {"timeout": SQLITE_LOCK_SECONDS, "cached_statements": SQLITE_KEPT_STATEMENTS}
    engine: Engine = hook.get_sqlalchemy_engine(engine_kwargs=options)
    return engine


def chunks(items: Iterable[T], size: int = KEYS_PER_QUERY) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
