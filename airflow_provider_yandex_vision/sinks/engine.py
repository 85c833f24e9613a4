"""The engine behind an Airflow connection of any SQL type."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.vision.errors import ConfigurationError

SQLITE_LOCK_SECONDS = 30


def sql_engine(sql_conn_id: str) -> Engine:
    """:raises ConfigurationError: no such connection, or not one of a database."""
    try:
        connection: Any = BaseHook.get_connection(sql_conn_id)
        hook = connection.get_hook()
    except AirflowNotFoundException as error:
        raise ConfigurationError(f"there is no connection {sql_conn_id!r} for sql_conn_id") from error
    except ImportError as error:
        raise ConfigurationError(f"the provider of connection {sql_conn_id!r} is not installed: {error}") from error
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise ConfigurationError(f"connection {sql_conn_id!r} is of a type that is not an SQL database")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if getattr(hook, "conn_type", "") == "sqlite":
        # SQLite has one writer; parallel tasks wait for their turn.
        options["connect_args"] = {"timeout": SQLITE_LOCK_SECONDS}
    engine: Engine = hook.get_sqlalchemy_engine(engine_kwargs=options)
    return engine
