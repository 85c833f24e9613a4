"""Insert rows or, where their key exists, change what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache, partial
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Table, bindparam, cast, func, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.sql import Insert

from airflow_provider_yandex_vision.results.database import chunks
from airflow_provider_yandex_vision.results.rows import NewRow
from airflow_provider_yandex_vision.results.tables import MYSQL_NAMES

Changes: TypeAlias = "Callable[[Mapping[str, Any]], dict[str, Any]]"
"""From the incoming row, as SQL expressions by column, to what an existing row is set to."""

Upserting: TypeAlias = "Callable[[Table, Changes], Insert]"

Write: TypeAlias = "Callable[[Connection, Table, Sequence[NewRow], Changes], None]"


def upsert(connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes) -> None:
    """Write rows, each of a key of its own.

    They go in the order of their keys: writers that take locks in one order do not wait in a ring.
    """
    write = _WRITES.get(connection.dialect.name, _update_or_insert)
    for chunk in chunks(sorted(rows, key=itemgetter(_key(table)))):
        write(connection, table, chunk, changes)


def _on_duplicate_key(table: Table, changes: Changes) -> Insert:
    statement = mysql.insert(table)
    return statement.on_duplicate_key_update(changes(_by_name(statement.inserted)))


def _on_conflict(table: Table, changes: Changes) -> Insert:
    statement = sqlite.insert(table)
    set_ = changes(_by_name(statement.excluded))
    return statement.on_conflict_do_update(index_elements=[_key(table)], set_=set_)


@lru_cache(maxsize=16)
def _compile(upserting: Upserting, dialect: Dialect, table: Table, changes: Changes) -> Compiled:
    return upserting(table, changes).compile(dialect=dialect)


def _write_many(
    upserting: Upserting, connection: Connection, table: Table, rows: Sequence[NewRow], changes: Changes
) -> None:
    """Like ``connection.execute(statement, rows)``, whose care for every value takes longer than the database."""
    dialect = connection.dialect
    compiled: Any = _compile(upserting, dialect, table, changes)
    processors = {column.name: column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns}
    columns = zip(*map(itemgetter(*processors), rows), strict=True)
    # Times repeat from row to row.
    converted = (
        map(cache(process), column) if process else column
        for process, column in zip(processors.values(), columns, strict=True)
    )
    values = list(zip(*converted, strict=True))
    parameters = values if compiled.positional else [dict(zip(processors, row, strict=True)) for row in values]
    connection.exec_driver_sql(str(compiled), parameters)


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
    "sqlite": partial(_write_many, _on_conflict),
    "postgresql": _on_conflict_arrays,
    **dict.fromkeys(MYSQL_NAMES, partial(_write_many, _on_duplicate_key)),
}


def _key(table: Table) -> str:
    (column,) = table.primary_key.columns
    return str(column.name)


def _by_name(columns: Iterable[Any]) -> dict[str, Any]:
    return {column.name: column for column in columns}
