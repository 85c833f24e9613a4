"""Which errors of a database pass, which are about rows, and what they never show."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from airflow_provider_yandex_vision.results.sql_errors import describe, is_about_rows, is_transient

NOT_LATIN = UnicodeEncodeError("latin-1", "Снимок", 0, 6, "ordinal not in range(256)")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OperationalError("INSERT", {}, Exception("no space\nDETAIL: row (1)")), "Exception: no space"),
        (DataError("INSERT", {}, ValueError("bad value 'x'")), "ValueError"),
        (DataError("INSERT", {}, ValueError(1366, "bad value 'x'")), "ValueError 1366"),
        (NOT_LATIN, "UnicodeEncodeError"),
        (IntegrityError("INSERT", {}, KeyError("duplicate key (a)=(b)")), "KeyError"),
        (NoSuchModuleError("no such dialect"), "NoSuchModuleError: no such dialect"),
    ],
)
def test_description_is_one_line_without_values(error: SQLAlchemyError | UnicodeError, message: str) -> None:
    assert describe(error) == message


@pytest.mark.parametrize(
    "cause",
    [
        SimpleNamespace(pgcode="40P01"),
        SimpleNamespace(sqlstate="40001"),
        SimpleNamespace(args=(1213, "Deadlock found")),
        SimpleNamespace(pgcode="25006"),
        SimpleNamespace(pgcode="53100"),
        SimpleNamespace(pgcode="08P01"),
        SimpleNamespace(args=(1290, "The server is running with the --read-only option")),
        SimpleNamespace(args=(1226, "User has exceeded the 'max_user_connections' resource")),
        SimpleNamespace(args=(1114, "The table 'copies' is full")),
        SimpleNamespace(args=("database is locked",)),
        "database is locked",
        "UNIQUE constraint failed: t.id",
        "database or disk is full",
        'could not translate host name "db" to address: Temporary failure in name resolution',
        "(2003, \"Can't connect to MySQL server on 'db' ([Errno -2] Name or service not known)\")",
        "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "FATAL:  no more connections allowed (max_client_conn)",
        "FATAL:  query_wait_timeout",
        "FATAL:  server login has been failing, try again later (server_login_retry)",
        "server conn crashed?",
        "cannot execute INSERT in a read-only transaction",
        "FATAL:  the database system is not yet accepting connections",
        "SSL connection has been closed unexpectedly",
        "IO Error: Could not set lock on file copies.db: Conflicting lock is held in python",
    ],
)
def test_transient_errors_are_known_by_code_or_words(cause: object) -> None:
    assert is_transient(OperationalError("SELECT 1", {}, cause))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [DataError, IntegrityError, ProgrammingError])
def test_quoted_text_is_no_reason_to_wait(kind: type[DBAPIError]) -> None:
    assert not is_transient(kind("INSERT", {}, Exception("bad value 'the disk is full'")))


@pytest.mark.parametrize(
    "cause",
    [
        "password authentication failed for user",
        "syntax error",
        "unable to open database file",
        SimpleNamespace(pgcode="42501", args=("permission denied for table copies",)),
        SimpleNamespace(args=(1142, "INSERT command denied to user")),
    ],
)
def test_wrong_configuration_is_no_reason_to_wait(cause: object) -> None:
    assert not is_transient(OperationalError("SELECT 1", {}, cause))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("INSERT", {}, Exception("too long")), True),
        (IntegrityError("INSERT", {}, Exception("violates check constraint")), True),
        (OperationalError("INSERT", {}, Exception(1153, "Got a packet bigger than 'max_allowed_packet' bytes")), True),
        (NOT_LATIN, True),
        (IntegrityError("INSERT", {}, Exception("Duplicate entry 'x' for key 'PRIMARY'")), False),
        (OperationalError("INSERT", {}, Exception(1142, "INSERT command denied to user")), False),
        (ProgrammingError("INSERT", {}, Exception("no such table")), False),
    ],
)
def test_some_errors_are_about_the_rows(error: SQLAlchemyError | UnicodeError, expected: bool) -> None:
    assert is_about_rows(error) == expected


@pytest.mark.parametrize("cause", ["syntax error", SimpleNamespace(pgcode="42601", args=("1213 rows", 1213))])
def test_other_errors_are_permanent(cause: object) -> None:
    assert not is_transient(OperationalError("SELECT 1", {}, cause))  # type: ignore[arg-type]
    assert not is_transient(NoSuchModuleError("database is locked"))


def test_connection_lost_by_any_driver_is_transient() -> None:
    lost = OperationalError("SELECT 1", {}, Exception("?"), connection_invalidated=True)
    assert is_transient(lost)
