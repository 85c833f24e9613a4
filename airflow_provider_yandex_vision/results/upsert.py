"""Insert rows, or update those whose key exists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Table, bindparam, cast, func, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection

from airflow_provider_yandex_vision.results.database import chunks
from airflow_provider_yandex_vision.results.rows import NewRow
from airflow_provider_yandex_vision.results.schema import MYSQL_NAMES
from airflow_provider_yandex_vision.vision.errors import TableError

Changes: TypeAlias = "Callable[[Any], dict[str, Any]]"
"""What to set in an existing row, by column, given the columns of the new row as SQL expressions."""

Statement: TypeAlias = "tuple[Any, Callable[[Sequence[NewRow]], Any]]"
"""And the values of its parameters, given the rows."""


def check_supported(database: str) -> None:
    """:raises TableError: the results tables are not tested on this database."""
    if database not in _STATEMENTS:
        raise TableError(f"{database} is not supported: use SQLite, PostgreSQL, MySQL, MariaDB or DuckDB")
    if database == "duckdb" and not duckdb_is_sound():
        raise TableError(f"DuckDB {version('duckdb')} is not supported: install duckdb 1.4 or newer")


def duckdb_is_sound() -> bool:
    """Before 1.4, DuckDB overwrites columns that an upsert does not name, if the table has an index."""
    return tuple(map(int, version("duckdb").split(".")[:2])) >= (1, 4)


class Upsert:
    """A statement that inserts rows, or updates those whose key exists. It takes longer to build than to run."""

    def __init__(self, database: str, table: Table, changes: Changes) -> None:
        self._key = itemgetter(*_key(table))
        self._statement, self._values = _STATEMENTS[database](table, changes)

    def __call__(self, connection: Connection, rows: Sequence[NewRow]) -> None:
        """Write rows with distinct keys, in the order of the keys: writers of the same rows then do not deadlock."""
        for chunk in chunks(sorted(rows, key=self._key)):
            connection.execute(self._statement, self._values(chunk))


def upsert(connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes) -> None:
    Upsert(connection.dialect.name, table, changes)(connection, rows)


def _on_duplicate_key(table: Table, changes: Changes) -> Statement:
    statement = mysql.insert(table)
    return statement.on_duplicate_key_update(changes(statement.inserted)), list


def _on_conflict(insert: Callable[[Table], Any], table: Table, changes: Changes) -> Statement:
    statement = insert(table)
    return statement.on_conflict_do_update(index_elements=_key(table), set_=changes(statement.excluded)), list


def _on_conflict_arrays(table: Table, changes: Changes) -> Statement:
    """One array per column: psycopg2 would make a round trip per row."""
    names = [column.name for column in table.columns]
    arrays = [func.unnest(cast(bindparam(f"new_{c.name}"), postgresql.ARRAY(c.type))) for c in table.columns]

    def values(rows: Sequence[NewRow]) -> dict[str, list[Any]]:
        return {f"new_{name}": [row[name] for row in rows] for name in names}

    statement = postgresql.insert(table)
    set_ = changes(statement.excluded)
    selected = statement.from_select(names, select(*arrays))
    return selected.on_conflict_do_update(index_elements=_key(table), set_=set_), values


_STATEMENTS: dict[str, Callable[[Table, Changes], Statement]] = {
    "sqlite": partial(_on_conflict, sqlite.insert),
    "duckdb": partial(_on_conflict, postgresql.insert),
    "postgresql": _on_conflict_arrays,
    **dict.fromkeys(MYSQL_NAMES, _on_duplicate_key),
}


def _key(table: Table) -> list[str]:
    return table.primary_key.columns.keys()
