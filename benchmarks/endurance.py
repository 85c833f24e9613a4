"""A hundred thousand images through the operator, and runs stopped halfway: what grows, and what is left behind.

``python -m benchmarks endurance``. One request in a hundred meets a fault. Every task runs in a separate process. The
long run calls ``execute()`` directly, so that the memory is the operator's and not Airflow's. The stopped runs, with
fewer images, are tasks of ``dag.test()``: Airflow's handlers get SIGTERM, and the SIGALRM of ``execution_timeout``,
after half of the images. Each is then resumed. The exit status is an error if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from benchmarks.report import AtLeast, AtMost, figure, show
from benchmarks.tables import drop
from tests.support.faults import FAULTS
from tests.support.faulty_service import FaultyService, burning
from tests.support.long_task import (
    DAGS,
    PAID_AGAIN_FOR_A_STOP,
    SIGNALS,
    TIMEOUT,
    LongTask,
    long_task,
    make_pictures,
    rows_about,
    stop_and_resume,
)
from tests.support.watched_operator import TABLE, Ended

SHARE = 0.01
NONE = AtMost(0)
MOMENTS = {"10 %": 0.1, "50 %": 0.5, "98 %, with the listing": 0.98, "100 %, without it": 1.0}
"""Progress at which memory is measured. A local listing is held until its last image is read."""
CONNECTION_TYPES = {"postgresql": "postgres", "mariadb": "mysql"}

Rows = list[list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks endurance", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--stopped", type=int, default=10_000, help="images of each stopped run")
    parser.add_argument("url", nargs="?", help="SQLAlchemy URL of the database; a SQLite file by default")
    options = parser.parse_args()
    rows = long_run(options.images, options.url) + stopped_runs(options.stopped, options.url)
    show(f"{SHARE:.0%} of the requests meet one of {len(FAULTS)} faults", rows)
    sys.exit("a goal was missed" if any(row[-1] == "MISSED" for row in rows) else None)


def long_run(images: int, url: str | None) -> Rows:
    service = FaultyService(FAULTS, share=SHARE, patience=2 * TIMEOUT)
    with running(service, url) as (task, database):
        pictures = make_pictures(task.home / "run", images)
        started = time.perf_counter()
        task.begin("run")
        memory = [memory_at(task, service, share * images) for share in MOMENTS.values()]
        ended = task.end()
        seconds = time.perf_counter() - started
        after_a_loss = service.paid_twice - service.delivered_twice
        growth = (max(memory[1:]) / memory[0] - 1) * 100
        return [
            *outcome(f"{images:,} images", pictures, database, ended, task),
            figure("  seconds", seconds),
            figure("  requests with a fault", service.injected.total(), digits=0),
            figure("  paid twice", service.paid_twice, digits=0),
            figure("  of these after a lost reply", after_a_loss, AtLeast(service.paid_twice), digits=0),
            *(figure(f"  MiB at {moment}", value) for moment, value in zip(MOMENTS, memory, strict=True)),
            figure("  greatest growth since 10 %, in %", growth, AtMost(10)),
        ]


def stopped_runs(images: int, url: str | None) -> Rows:
    service = FaultyService(FAULTS, share=SHARE, patience=2 * TIMEOUT)
    rows = []
    with running(service, url, str(DAGS)) as (task, database):
        for day, (way, number) in enumerate(SIGNALS.items(), 1):
            pictures = make_pictures(task.home / f"2026-01-{day:02}", images)
            stopped = stop_and_resume(task, service, pictures.name, number, images // 2)
            rows += [
                *outcome(f"{images:,} images, {way}", pictures, database, stopped.ended, task),
                figure("  seconds until it ended", stopped.seconds, AtMost(2), digits=2),
                figure("  images paid by then", stopped.paid, digits=0),
                figure("  of these paid again", stopped.paid_again, AtMost(PAID_AGAIN_FOR_A_STOP), digits=0),
            ]
    return rows


def outcome(title: str, pictures: Path, database: str, ended: Ended, task: LongTask) -> Rows:
    """Every run must leave a true row for every image, and nothing else."""
    rows, images = rows_about(pictures, database), sum(1 for _ in pictures.iterdir())
    return [
        figure(f"{title}: true rows", rows[True], AtLeast(images), digits=0),
        figure("  lost", images - rows.total(), NONE, digits=0),
        figure("  threads and open files left", len(ended.left), NONE, digits=0),
        figure("  temporary files left", len(task.temporary_files()), NONE, digits=0),
    ]


def memory_at(task: LongTask, service: FaultyService, images: float) -> float:
    """MiB of the task, once it has the answers for so many images."""
    task.wait(lambda: len(service.delivered) >= images)
    return float(psutil.Process(task.process.pid).memory_info().rss / 2**20)


@contextmanager
def running(service: FaultyService, url: str | None, *arguments: str) -> Iterator[tuple[LongTask, str]]:
    """The task, with a fresh home, and the URL of its database."""
    with tempfile.TemporaryDirectory() as home:
        url = url or f"sqlite:///{home}/results.db"
        try:
            with (
                burning(service) as host,
                long_task(Path(home), host, *arguments, AIRFLOW_CONN_RESULTS_DB=connection(url)) as task,
            ):
                yield task, url
        finally:
            engine = create_engine(url)
            drop(engine, TABLE)
            engine.dispose()


def connection(url: str) -> str:
    """An Airflow connection to the same database."""
    parts = make_url(url)
    kind = parts.get_backend_name()
    fields = {
        "conn_type": CONNECTION_TYPES.get(kind, kind),
        "host": parts.host or parts.database,
        "port": parts.port,
        "login": parts.username,
        "password": parts.password,
        "schema": parts.database if parts.host else None,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None})


if __name__ == "__main__":
    main()
