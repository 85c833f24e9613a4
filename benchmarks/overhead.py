"""What the operator with a table costs, compared with the bare hook on the same images."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.images.urls import list_images
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from benchmarks.processes import service
from benchmarks.service import Behaviour
from tests.support.killing import make_many

ROUNDS = 3
FAST: dict[str, Any] = {"requests_per_second": 100_000, "max_concurrent_requests": 16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, service(Behaviour(latency=0.02)) as served:
        connection = {"conn_type": "yandex_vision", "password": "benchmark", "host": served.host}
        os.environ["AIRFLOW_CONN_YANDEX_VISION_DEFAULT"] = json.dumps(connection)
        report(Path(folder), options.images)


def report(folder: Path, images: int) -> None:
    make_many(folder / "many", images)
    url = f"file://{folder / 'many'}/"
    clients: dict[str, Callable[[int], None]] = {
        "hook": lambda number: run_hook(url),
        "operator, SQLite": lambda number: run_operator(url, folder / f"{number}.db"),
    }
    seconds = {name: [timed(run, number) for number in range(ROUNDS)] for name, run in clients.items()}
    base = statistics.median(seconds["hook"])
    print(f"{'client':<20}{'images/s':>10}{'ms/image':>10}{'ratio':>8}")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"{name:<20}{images / median:>10,.0f}{median / images * 1000:>10.2f}{median / base:>8.2f}")


def timed(run: Callable[[int], None], number: int) -> float:
    started = time.perf_counter()
    run(number)
    return time.perf_counter() - started


def run_hook(url: str) -> None:
    for _ in YandexVisionHook(**FAST).copy_search(list_images(url)):
        pass


def run_operator(url: str, database: Path) -> None:
    os.environ["AIRFLOW_CONN_RESULTS_DB"] = json.dumps({"conn_type": "sqlite", "host": str(database)})
    context: Any = {"ti": SimpleNamespace(dag_id="dag", run_id="run", task_id="search", map_index=-1)}
    operator = YandexVisionCopySearchOperator(
        task_id="search", images=url, table="copies", sql_conn_id="results_db", **FAST
    )
    operator.execute(context)


if __name__ == "__main__":
    main()
