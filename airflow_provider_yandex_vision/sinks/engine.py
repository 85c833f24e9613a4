"""The engine behind an Airflow connection of any SQL type."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.vision.errors import ConfigurationError

SQLITE_LOCK_SECONDS = 30
SQLITE_KEPT_STATEMENTS = 16
"""A query for a list of keys is another statement for every length, and seldom asked again: 128 of them, as Python's
driver keeps, are 10 MB."""


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
