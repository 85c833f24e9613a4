"""Tasks that search for one table, each in a process of its own that starts at once."""

from __future__ import annotations

import faulthandler
import json
import logging
import multiprocessing
import os
import signal
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from airflow_provider_yandex_vision.operators.parameters import Parameters
from airflow_provider_yandex_vision.operators.run import CopySearchRun
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.vision.errors import SearchStoppedError, YandexVisionError
from tests.support.secrets import API_KEY

DATABASES = {
    "SQLite": "sqlite:///{home}/results.db",
    "PostgreSQL": "postgresql+psycopg2://postgres@127.0.0.1:5432/test",
    "MariaDB": "mysql+pymysql://root@127.0.0.1:3306/test",
}
CONNECTION_TYPES = {"postgresql": "postgres", "mariadb": "mysql"}

PREPARED = multiprocessing.get_context("forkserver")
"""Processes that have imported everything a task needs."""
PREPARED.set_forkserver_preload([__name__, "benchmarks.warm"])


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task instance. Its process ends with 0 if it is finished, with 1 after an error or a stop.

    :param images: a folder.
    :param map_index: also the shard.
    :param window: requests in flight, of all shards together.
    :param began: start of the DAG run; that of the task by default.
    """

    images: Path
    table: str
    dag: str = "dag"
    map_index: int = 0
    shards: int = 1
    requests_per_second: float = 1e6
    window: int = 8
    began: datetime | None = None

    def start(self, environment: Mapping[str, str]) -> BaseProcess:
        process = PREPARED.Process(target=run, args=(self, environment), daemon=True)
        process.start()
        return process


def run(task: Task, environment: Mapping[str, str]) -> None:
    """In the task's process. SIGTERM stops it as Airflow does, SIGUSR1 as ``on_kill()`` in another thread."""
    os.environ |= environment
    logging.disable()
    parameters = Parameters(
        images=f"file://{task.images}/",
        table=task.table,
        sql_conn_id="results_db",
        shard=task.map_index,
        shards=task.shards,
        requests_per_second=task.requests_per_second,
        max_concurrent_requests=task.window,
    )
    key = TaskKey(task.dag, "run", "search", task.map_index)
    settings = replace(parameters.settings, max_retry_after=1.0, max_retry_seconds=20.0)
    search = CopySearchRun(parameters, key, settings, task.began)

    def stop(number: int, frame: FrameType | None) -> None:
        search.stop()
        raise SystemExit(1)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGUSR1, lambda *_: threading.Thread(target=search.stop).start())
    # Who waits in vain for this process learns where it is.
    faulthandler.register(signal.SIGUSR2)
    try:
        search.run()
    except SearchStoppedError:
        raise SystemExit(1) from None
    except YandexVisionError as error:
        raise SystemExit(f"{task.dag}, {task.map_index}: {type(error).__name__}: {error}") from None


@contextmanager
def fresh_table(database: str, home: Path) -> Iterator[tuple[str, str]]:
    """URL of the database, and the name of a table that is dropped with all that belongs to it.

    :param database: one of ``DATABASES``.
    """
    url, name = DATABASES[database].format(home=home), f"bench_{uuid.uuid4().hex[:8]}"
    engine = create_engine(url)
    try:
        yield url, name
    finally:
        existing = inspect(engine)
        drops = [f"DROP VIEW {view}" for view in existing.get_view_names() if view.startswith(name)]
        drops += [f"DROP TABLE {table}" for table in existing.get_table_names() if table.startswith(name)]
        with engine.begin() as connection:
            for drop in drops:
                connection.execute(text(drop))
        engine.dispose()


def environment(host: str, url: str, timeout: float = 60.0) -> dict[str, str]:
    """Variables with the connections of a task.

    :param timeout: seconds to wait for a reply.
    """
    vision = {"conn_type": "yandex_vision", "password": API_KEY, "host": host, "extra": {"timeout": timeout}}
    parts = make_url(url)
    kind = parts.get_backend_name()
    fields = {
        "conn_type": CONNECTION_TYPES.get(kind, kind),
        "host": parts.host or parts.database,
        "port": parts.port,
        "login": parts.username,
        "password": parts.password,
        "schema": parts.database if parts.host else None,
        "extra": {"client": "pymysql"} if kind in ("mysql", "mariadb") else None,
    }
    results = {name: value for name, value in fields.items() if value is not None}
    return {
        "AIRFLOW_CONN_YANDEX_VISION_DEFAULT": json.dumps(vision),
        "AIRFLOW_CONN_RESULTS_DB": json.dumps(results),
    }
