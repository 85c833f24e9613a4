"""Airflow with two workers: CeleryExecutor, Redis and PostgreSQL, with a process for every component."""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import Any

import psutil
import pytest
import redis
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, Engine

from tests.integration import machine
from tests.integration.conftest import ROOT, python
from tests.results.conftest import server_url

WORKERS = ("w1", "w2")
TASKS_PER_WORKER = 2

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/7")
HAS_TASK_API = not version("apache-airflow").startswith("2.")
"""Whether tasks talk to an API server instead of the metadata database."""

PATIENCE = 240.0
"""Seconds. Airflow is slow to start, and the machine may be busy."""

API_TIMEOUT = 60.0
"""Seconds that a task waits for the API server, whose first answer can take longer than the five of Airflow."""


@dataclass
class Cluster:
    """A running Airflow.

    :param database: has the metadata, the states of Celery's tasks and what tasks write.
    """

    home: Path
    environment: dict[str, str]
    database: Engine
    components: dict[str, Popen[bytes]] = field(default_factory=dict)

    def airflow(self, *arguments: str) -> None:
        python(["-m", "airflow", *arguments], self.home, **self.environment)

    def start(self, name: str, *arguments: str) -> None:
        with (self.home / f"{name}.log").open("wb") as log:
            self.components[name] = Popen(
                [sys.executable, "-m", "airflow", *arguments],
                cwd=ROOT,
                env={
                    **os.environ,
                    "AIRFLOW_HOME": str(self.home),
                    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": str(API_TIMEOUT),
                    "MACHINE": name,
                    **self.environment,
                },
                stdout=log,
                stderr=STDOUT,
                start_new_session=True,
            )

    def run(self, dag_id: str, conf: str) -> None:
        """Run a DAG once. It must succeed."""
        known = "SELECT 1 FROM serialized_dag WHERE dag_id = :dag_id"
        self.wait(lambda: self.query(known, dag_id=dag_id), f"{dag_id} was known")
        self.airflow("dags", "trigger", dag_id, "--conf", conf)
        ended = "SELECT state FROM dag_run WHERE dag_id = :dag_id AND state IN ('success', 'failed')"
        self.wait(lambda: self.query(ended, dag_id=dag_id), f"{dag_id} ended")
        if self.query(ended, dag_id=dag_id) != [("success",)]:
            raise AssertionError(f"{dag_id} failed\n{self.logs()}")

    def query(self, sql: str, **values: object) -> list[Any]:
        with self.database.connect() as connection:
            return list(connection.execute(text(sql), values))

    def wait(self, condition: Callable[[], object], event: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            gone = [name for name, process in self.components.items() if process.poll() is not None]
            if gone or time.monotonic() > deadline:
                reason = f"{' and '.join(gone)} exited" if gone else "timeout"
                raise AssertionError(f"{reason} before {event}\n{self.logs()}")
            time.sleep(0.2)

    def logs(self) -> str:
        """The end of every log, of tasks and of components."""
        files = sorted(self.home.rglob("*.log"))
        return "\n".join(f"--- {file}\n{file.read_text(errors='replace')[-3000:]}" for file in files if file.is_file())


@contextmanager
def running_airflow(home: Path, dags: Path, database: URL, **environment: str) -> Generator[Cluster]:
    """Run all components.

    :param home: an empty folder; ``<home>-bytecode`` beside it is the bytecode cache of all processes.
    :param database: an empty database for the metadata.
    :param environment: further variables.
    """
    port, url = _free_port(), database.render_as_string(hide_password=False)
    with fresh_broker() as key_prefix:
        settings = {
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": f"{machine.__name__}.{machine.name.__name__}",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            "AIRFLOW__CELERY__BROKER_URL": REDIS_URL,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{url}",
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX": key_prefix,
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": f"{home}-bytecode",
            "AIRFLOW__SCHEDULER__STANDALONE_DAG_PROCESSOR": "True",  # as it always is in Airflow 3
        }
        cluster = Cluster(home, settings | environment, create_engine(database))
        try:
            _start(cluster, port)
            yield cluster
        finally:
            end(cluster.components.values())
            cluster.database.dispose()


def _start(cluster: Cluster, port: int) -> None:
    cluster.airflow("db", "migrate")
    if HAS_TASK_API:
        cluster.start("api-server", "api-server", "--apps", "execution", "--host", "127.0.0.1", "--port", str(port))
    for component in ("scheduler", "dag-processor"):
        cluster.start(component, component)
    for name in WORKERS:
        pid_file = str(cluster.home / f"{name}.pid")
        options = ["--skip-serve-logs", "--concurrency", str(TASKS_PER_WORKER), "--pid", pid_file]
        cluster.start(name, "celery", "worker", "--celery-hostname", f"{name}@%h", *options)
    if HAS_TASK_API:
        cluster.wait(lambda: _listens(port), "the API server listened")


def end(components: Iterable[Popen[bytes]]) -> None:
    """End processes and their descendants, which may be in other sessions."""
    running = [component for component in components if component.poll() is None]
    tree = [process for component in running for process in _with_descendants(component.pid)]
    for process in tree:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(tree, timeout=10)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    for component in running:
        component.wait()


def _with_descendants(pid: int) -> list[Any]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def fresh_database() -> Generator[URL]:
    """A database on the PostgreSQL server of the tests; dropped afterwards."""
    server = create_engine(server_url("postgresql"), isolation_level="AUTOCOMMIT")
    name = f"test_{uuid.uuid4().hex}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield server.url.set(database=name)
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()


@contextmanager
def fresh_broker() -> Generator[str]:
    """A prefix for keys in Redis. Keys with it are deleted afterwards, and no others."""
    prefix = f"test_{uuid.uuid4().hex}_"
    with redis.Redis.from_url(REDIS_URL) as server:
        try:
            server.ping()
        except redis.ConnectionError:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(f"no Redis at {REDIS_URL}")
        try:
            yield prefix
        finally:
            keys = list(server.scan_iter(f"{prefix}*"))
            if keys:
                server.delete(*keys)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
