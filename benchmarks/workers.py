"""How a search scales with the tasks that share it: ``python -m benchmarks workers``.

Each task is a process that runs the operator on its shard of a folder and writes to one table in PostgreSQL. The
service replies after half a second and has no quota, and each task may have 16 requests in flight, so one task could
reach 256 images per second. The service, the database and the tasks share this machine's cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import NamedTuple

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from benchmarks.peers import UNPACED, WINDOW
from benchmarks.pictures import picture
from benchmarks.processes import SPAWN, Usage, measured, service
from benchmarks.service import Behaviour
from benchmarks.tables import drop

POSTGRESQL = "postgresql+psycopg2://postgres@127.0.0.1:5432/test"
TASKS = (1, 2, 4)
IMAGE_BYTES = 20_000
LATENCY = 0.5


class Round(NamedTuple):
    """:param cpu_seconds: of all tasks together."""

    seconds: float
    cpu_seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks workers", description=__doc__)
    parser.add_argument("--images", type=int, default=1_500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url", default=POSTGRESQL, help="SQLAlchemy URL of PostgreSQL")
    arguments = parser.parse_args()
    with TemporaryDirectory() as home, service(Behaviour(LATENCY)) as served:
        os.environ |= _environment(home, served.host, arguments.url)
        folder = _pictures(Path(home, "pictures"), arguments.images)
        with SPAWN.Manager() as manager, ProcessPoolExecutor(max(TASKS), SPAWN) as pool:
            list(pool.map(_warm_up, [manager.Barrier(max(TASKS))] * max(TASKS)))
            report(partial(_round, pool, folder, arguments.url), arguments.images, arguments.rounds)


def report(run: Callable[[int], Round], images: int, rounds: int) -> None:
    """:param run: takes the number of tasks."""
    print(f"{os.cpu_count()} cores, {images:,} images of {IMAGE_BYTES // 1000} KB, medians of {rounds} rounds")
    print(f"{'tasks':>5}{'images/s':>10}{'speedup':>10}{'ms CPU per image':>18}")
    alone = 0.0
    for tasks in TASKS:
        times = [run(tasks) for _ in range(rounds)]
        speed = statistics.median(images / seconds for seconds, _ in times)
        cpu = statistics.median(cpu_seconds / images * 1000 for _, cpu_seconds in times)
        alone = alone or speed
        print(f"{tasks:>5}{speed:>10,.0f}{f'{speed / alone:.2f}x':>10}{cpu:>18.2f}", flush=True)


def _round(pool: ProcessPoolExecutor, folder: Path, url: str, tasks: int) -> Round:
    with _fresh_table(url) as table:
        started = time.perf_counter()
        usages = list(pool.map(partial(_task, folder, table, tasks), range(tasks)))
        return Round(time.perf_counter() - started, sum(usage.cpu_seconds for usage in usages))


def _warm_up(barrier: Barrier) -> None:
    """Import what a task needs, once in each process."""
    from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator  # noqa: F401
    from airflow_provider_yandex_vision.results.database import sql_engine

    sql_engine("results_db").dispose()
    barrier.wait()


def _task(folder: Path, table: str, shards: int, shard: int) -> Usage:
    return measured(_search, folder, table, shards, shard)


def _search(folder: Path, table: str, shards: int, shard: int) -> int:
    from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator

    operator = YandexVisionCopySearchOperator(
        task_id=f"search_{shard}",
        images=f"file://{folder}/",
        table=table,
        sql_conn_id="results_db",
        shard=shard,
        shards=shards,
        requests_per_second=UNPACED,
        max_concurrent_requests=WINDOW * shards,
    )
    found: int = operator.execute({})["found"]
    return found


def _pictures(folder: Path, images: int) -> Path:
    folder.mkdir()
    for number in range(images):
        (folder / f"{number}.jpg").write_bytes(picture(number, IMAGE_BYTES))
    return folder


@contextmanager
def _fresh_table(url: str) -> Iterator[str]:
    name, engine = f"workers_{uuid.uuid4().hex[:8]}", create_engine(url)
    try:
        yield name
    finally:
        drop(engine, name)
        engine.dispose()


def _environment(home: str, host: str, url: str) -> dict[str, str]:
    database = make_url(url)
    vision = {"conn_type": "yandex_vision", "password": "benchmark", "host": host}
    results = {"conn_type": "postgres", "host": database.host, "port": database.port, "schema": database.database}
    return {
        "AIRFLOW_HOME": home,
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AIRFLOW_CONN_YANDEX_VISION_DEFAULT": json.dumps(vision),
        "AIRFLOW_CONN_RESULTS_DB": json.dumps({**results, "login": database.username, "password": database.password}),
    }


if __name__ == "__main__":
    main()
