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


def check_supported(database: str) -> None:
    """:raises TableError: the results tables are not tested on this database."""
    if database not in _WRITES:
        raise TableError(f"{database} is not supported: use SQLite, PostgreSQL, MySQL, MariaDB or DuckDB")
    if database == "duckdb" and not duckdb_is_sound():
        raise TableError(f"DuckDB {version('duckdb')} is not supported: install duckdb 1.4 or newer")


def duckdb_is_sound() -> bool:
    """Before 1.4, DuckDB overwrites columns that an upsert does not name, if the table has an index."""
    return tuple(map(int, version("duckdb").split(".")[:2])) >= (1, 4)


def upsert(connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes) -> None:
    """Write rows with distinct keys, in the order of the keys: writers of the same rows then do not deadlock."""
    write = _WRITES[connection.dialect.name]
    for chunk in chunks(sorted(rows, key=itemgetter(*_key(table)))):
        write(connection, table, chunk, changes)


def _on_duplicate_key(connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes) -> None:
    statement = mysql.insert(table)
    connection.execute(statement.on_duplicate_key_update(changes(statement.inserted)), rows)


def _on_conflict(
    insert: Callable[[Table], Any], connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes
) -> None:
    statement = insert(table)
    set_ = changes(statement.excluded)
    connection.execute(statement.on_conflict_do_update(index_elements=_key(table), set_=set_), rows)


def _on_conflict_arrays(connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes) -> None:
    """One array per column: psycopg2 would make a round trip per row."""
    names = [column.name for column in table.columns]
    arrays = [func.unnest(cast(bindparam(f"new_{c.name}"), postgresql.ARRAY(c.type))) for c in table.columns]
    statement = postgresql.insert(table)
    set_ = changes(statement.excluded)
    connection.execute(
        statement.from_select(names, select(*arrays)).on_conflict_do_update(index_elements=_key(table), set_=set_),
        {f"new_{name}": [row[name] for row in rows] for name in names},
    )


_WRITES: dict[str, Callable[[Connection, Table, Sequence[NewRow], Changes], None]] = {
    "sqlite": partial(_on_conflict, sqlite.insert),
    "duckdb": partial(_on_conflict, postgresql.insert),
    "postgresql": _on_conflict_arrays,
    **dict.fromkeys(MYSQL_NAMES, _on_duplicate_key),
}


def _key(table: Table) -> list[str]:
    return table.primary_key.columns.keys()
