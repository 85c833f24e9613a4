"""Insert rows or, where their key exists, change what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Table, bindparam, cast, func, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.sql import Insert

from airflow_provider_yandex_vision.sinks.chunks import chunks
from airflow_provider_yandex_vision.sinks.rows import NewRow
from airflow_provider_yandex_vision.sinks.tables import MYSQL_NAMES

Changes: TypeAlias = "Callable[[Mapping[str, Any]], dict[str, Any]]"
"""From the incoming row, as SQL expressions by column, to what an existing row is set to."""

Write: TypeAlias = "Callable[[Connection, Table, Sequence[NewRow], Changes], None]"


def upsert(connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes) -> None:
    """Write rows, each of a key of its own.

    They go in the order of their keys: writers that take locks in one order do not wait in a ring.
    """
    write = _WRITES.get(connection.dialect.name, _update_or_insert)
    for chunk in chunks(sorted(rows, key=itemgetter(_key(table)))):
        write(connection, table, chunk, changes)


def _on_duplicate_key(connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes) -> None:
    statement = mysql.insert(table)
    set_ = changes(_by_name(statement.inserted))
    _executemany(connection, table, statement.on_duplicate_key_update(set_), rows)


def _on_conflict(connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes) -> None:
    statement = sqlite.insert(table)
    set_ = changes(_by_name(statement.excluded))
    upserting = statement.on_conflict_do_update(index_elements=[_key(table)], set_=set_)
    _executemany(connection, table, upserting, rows)


def _executemany(connection: Connection, table: Table, statement: Insert, rows: Sequence[NewRow]) -> None:
    """Like ``connection.execute(statement, rows)``, whose care for every value takes longer than the database."""
    dialect = connection.dialect
    compiled = statement.compile(dialect=dialect)
    processors = {column.name: column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns}
    # Times repeat from row to row.
    converters = {name: cache(process) for name, process in processors.items() if process}
    converted = [{**row, **{name: convert(row[name]) for name, convert in converters.items()}} for row in rows]
    in_order = itemgetter(*processors)
    connection.exec_driver_sql(str(compiled), list(map(in_order, converted)) if compiled.positional else converted)


def _on_conflict_arrays(connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes) -> None:
    """One array a column, since psycopg2 makes a round trip of every row."""
    names = [column.name for column in table.columns]
    arrays = [func.unnest(cast(bindparam(f"new_{c.name}"), postgresql.ARRAY(c.type))) for c in table.columns]
    statement = postgresql.insert(table)
    set_ = changes(_by_name(statement.excluded))
    connection.execute(
        statement.from_select(names, select(*arrays)).on_conflict_do_update(index_elements=[_key(table)], set_=set_),
        {f"new_{name}": [row[name] for row in rows] for name in names},
    )


def _update_or_insert(connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes) -> None:
    """Standard SQL, for databases whose own way is not known here."""
    key = _key(table)
    column = table.columns[key]
    known = set(connection.execute(select(column).where(column.in_([row[key] for row in rows]))).scalars())
    # A parameter of an UPDATE must not have the name of a column.
    incoming = {c.name: bindparam(f"new_{c.name}", type_=c.type) for c in table.columns}
    old = [{f"new_{name}": value for name, value in row.items()} for row in rows if row[key] in known]
    new = [row for row in rows if row[key] not in known]
    if old:
        connection.execute(update(table).where(column == incoming[key]).values(changes(incoming)), old)
    if new:
        connection.execute(table.insert(), new)


_WRITES: dict[str, Write] = {
    "sqlite": _on_conflict,
    "postgresql": _on_conflict_arrays,
    **dict.fromkeys(MYSQL_NAMES, _on_duplicate_key),
}


def _key(table: Table) -> str:
    (column,) = table.primary_key.columns
    return str(column.name)


def _by_name(columns: Iterable[Any]) -> dict[str, Any]:
    return {column.name: column for column in columns}
