"""Imported by the process that those of tasks are forked from: what a task imports only when it needs it."""

from __future__ import annotations

from typing import Any

from airflow_provider_yandex_vision.compat import Connection, attach
from airflow_provider_yandex_vision.images import urls  # noqa: F401 - for its imports
from airflow_provider_yandex_vision.results import quota  # noqa: F401 - the same
from airflow_provider_yandex_vision.vision import transport  # noqa: F401 - the same

FILES = attach("file", None).fs
for kind in ("yandex_vision", "sqlite", "postgres", "mysql"):
    connection: Any = Connection(conn_id="warm", conn_type=kind)
    connection.get_hook()
