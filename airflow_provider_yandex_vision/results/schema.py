"""The tables are there, have the columns, and take rows: found out before anything is paid."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Table, Unicode, inspect, literal_column, select, text
from sqlalchemy.engine import Connection

from airflow_provider_yandex_vision.results.database import Database
from airflow_provider_yandex_vision.results.tables import Tables
from airflow_provider_yandex_vision.vision.errors import TableError


def create_missing(database: Database, tables: Tables, *, create: bool) -> None:
    """
    :param create: False to only look whether the tables are there.
    :raises TableError: they are not there, and shall or can not be created.
    """
    missing = _missing(database, tables)
    while missing:
        if not create:
            raise TableError(
                f"{database.table} lacks {', '.join(missing)}: create what is missing, or set create_table=True"
            )
        try:
            database.transact("create", lambda connection: _create(connection, tables), TableError)
        except TableError:
            # Of tasks that start together only one creates a table; the others go on with the rest.
            still_missing = _missing(database, tables)
            if still_missing == missing:
                raise
            missing = still_missing
        else:
            return


def check_columns(database: Database, tables: Tables) -> None:
    """:raises TableError: a table of that name is there, with other columns."""
    for table in tables:
        found = database.transact("read", _column_reader(table), TableError)
        lacking = [column.name for column in table.columns if column.name not in found]
        if lacking:
            raise TableError(
                f"{database.table} is of another shape: {table.fullname} has no column {', '.join(lacking)}; "
                f"add what is missing, or give another table"
            )


def _missing(database: Database, tables: Tables) -> list[str]:
    def look(connection: Connection) -> list[str]:
        inspector = inspect(connection)
        return [table.fullname for table in tables if not inspector.has_table(table.name, schema=table.schema)]

    return database.transact("look for", look, TableError)


def _create(connection: Connection, tables: Tables) -> None:
    for table in tables:
        table.create(connection, checkfirst=True)


def _column_reader(table: Table) -> Callable[[Connection], set[str]]:
    # An empty SELECT names the columns on any database; not every dialect's reflection works.
    query = select(literal_column("*", type_=Unicode)).select_from(table).where(text("1 = 0"))
    return lambda connection: set(map(str.lower, connection.execute(query).keys()))
