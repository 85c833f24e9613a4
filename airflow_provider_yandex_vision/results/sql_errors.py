"""What an error of the database means: that it passes, that it is about the rows, or neither."""

from __future__ import annotations

import re

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

# PostgreSQL (appendix A): serialization failure, deadlock, lock and statement timeout, read-only after a failover,
# shutdown, idle timeout. Whole classes: connection lost (PgBouncer reports its own errors in it), out of connections,
# disk or memory, failures of the system it runs on.
_SQLSTATES = {"40001", "40003", "40P01", "55P03", "57014", "25006", "57P01", "57P02", "57P03", "57P05"}
_SQLSTATE_CLASSES = {"08", "53", "58"}

# MySQL and MariaDB: disk full or broken (3, 1021, 1026, 1030, 1114), out of memory or threads (1037, 1041, 1135), too
# many connections (1040, 1129, 1203, 1226), shutdown or not ready (1053, 1047), changed row, lock timeout, deadlock
# (1020, 1205, 1206, 1213), network (1158 to 1161), read-only after a failover (1290, 1792, 1836), interrupted or out of
# time (1317, 1927, 1969, 3024, 4031); from 2000 on, client errors: connection failed or lost.
_MYSQL_ERRORS = {
    *(3, 1020, 1021, 1026, 1030, 1037, 1040, 1041, 1047, 1053, 1114, 1129, 1135, 1158, 1159, 1160, 1161, 1203, 1205),
    *(1206, 1213, 1226, 1290, 1317, 1792, 1836, 1927, 1969, 3024, 4031, 2002, 2003, 2005, 2006, 2013, 2026, 2055),
}
# Packet too large, check constraint violated (MySQL, MariaDB): PyMySQL takes them for trouble of the server.
_MYSQL_REFUSALS = {1153, 3819, 4025}

# SQLite has no error codes before Python 3.11, libpq none for failed connections, DuckDB none at all.
_TRANSIENT_WORDS = re.compile(
    r"database (table |schema )?is locked|connection (refused|reset|timed out|is closed)|timeout expired"
    r"|could not connect|cannot connect|closed the connection|closed unexpectedly|broken pipe|SSL SYSCALL error"
    r"|starting up|shutting down|recovery mode|not (yet )?accepting connections|read-only (transaction|mode)"
    r"|too many (clients|connections)|connection slots are reserved|no more connections|max client connections"
    r"|query_wait_timeout|server_login_retry|server conn crashed|pgbouncer"
    r"|could not translate host name|name resolution|name or service not known|no address associated"
    r"|no route to host|network is unreachable|disk (is full|I/O error)|no space left|conflict on |could not set lock",
    re.IGNORECASE,
)

_DUPLICATE = re.compile(r"duplicate (key|entry)|unique constraint (.*violated|failed)", re.IGNORECASE)


def is_transient(error: SQLAlchemyError | UnicodeError) -> bool:
    """Whether a retry may succeed."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or is_duplicate(error):
        return True
    codes = _codes(error)
    if not codes.isdisjoint(_SQLSTATES | _MYSQL_ERRORS) or any(str(code)[:2] in _SQLSTATE_CLASSES for code in codes):
        return True
    # The text of these errors may quote a row.
    is_quoting = isinstance(error, (DataError, IntegrityError, ProgrammingError))
    return not is_quoting and _TRANSIENT_WORDS.search(str(error.orig)) is not None


def is_about_rows(error: SQLAlchemyError | UnicodeError) -> bool:
    """Whether the database refuses these rows, and may take others."""
    if isinstance(error, DBAPIError) and not _codes(error).isdisjoint(_MYSQL_REFUSALS):
        return True
    return isinstance(error, (DataError, IntegrityError, UnicodeError)) and not is_duplicate(error)


def is_duplicate(error: Exception) -> bool:
    """Whether another writer has just created the same row or table."""
    return isinstance(error, DBAPIError) and _DUPLICATE.search(str(error.orig)) is not None


def describe(error: SQLAlchemyError | UnicodeError) -> str:
    """The database's message on one line, without values of rows."""
    cause = getattr(error, "orig", None) or error
    if is_about_rows(error) or is_duplicate(error):
        code = next((f" {code}" for code in sorted(_codes(error), key=str) if code and cause is not error), "")
        return type(cause).__name__ + code
    # PostgreSQL quotes the row on the second line.
    return f"{type(cause).__name__}: {first_line(cause)}"


def first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _codes(error: SQLAlchemyError | UnicodeError) -> set[str | int]:
    """SQLSTATE or the number that the driver gave."""
    cause = getattr(error, "orig", None)
    given = (getattr(cause, "pgcode", None), getattr(cause, "sqlstate", None), *getattr(cause, "args", ())[:1])
    return {code for code in given if isinstance(code, int) or (isinstance(code, str) and len(code) == 5)}
