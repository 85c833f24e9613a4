"""The database's clock, which all tasks see alike."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from airflow_provider_yandex_vision.results.schema import MYSQL_NAMES, Timestamp


class DatabaseTime(FunctionElement):  # type: ignore[type-arg]  # SQLAlchemy 1.4's has no parameter
    """The time at this moment, as :class:`Timestamp` stores it."""

    type = Timestamp()
    inherit_cache = True


@compiles(DatabaseTime, "postgresql")
def _postgresql(element: DatabaseTime, compiler: Any, **kwargs: Any) -> str:
    return "clock_timestamp()"


@compiles(DatabaseTime, *MYSQL_NAMES)
def _mysql(element: DatabaseTime, compiler: Any, **kwargs: Any) -> str:
    return "UTC_TIMESTAMP(6)"


@compiles(DatabaseTime, "sqlite")
def _sqlite(element: DatabaseTime, compiler: Any, **kwargs: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


@compiles(DatabaseTime, "duckdb")
def _duckdb(element: DatabaseTime, compiler: Any, **kwargs: Any) -> str:
    return "(get_current_timestamp() AT TIME ZONE 'UTC')"
