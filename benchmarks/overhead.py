"""What the operator with a table costs over the bare hook, on the same pictures."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing import Process
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.images import list_images
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from tests.support.counting import CountingService
from tests.support.killing import make_many
from tests.support.secrets import API_KEY

ROUNDS = 3
FAST: dict[str, Any] = {"requests_per_second": 100_000, "max_concurrent_requests": 16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.images)


def measure(folder: Path, images: int) -> None:
    make_many(folder / "many", images)
    pictures = f"file://{folder / 'many'}/"
    ways: dict[str, Callable[[int], None]] = {
        "hook": lambda number: bare(pictures),
        "operator, SQLite": lambda number: operated(pictures, folder / f"{number}.db"),
    }
    service = serve()
    seconds = {way: [timed(run, number) for number in range(ROUNDS)] for way, run in ways.items()}
    service.terminate()
    base = statistics.median(seconds["hook"])
    print(f"{'way':<20}{'images/s':>10}{'ms/image':>10}{'ratio':>8}")
    for way, times in seconds.items():
        median = statistics.median(times)
        print(f"{way:<20}{images / median:>10,.0f}{median / images * 1000:>10.2f}{median / base:>8.2f}")


def serve() -> Process:
    """The service in a process of its own, and the connection that reaches it."""
    from multiprocessing import Pipe

    here, there = Pipe()
    process = Process(target=_serve, args=(there,), daemon=True)
    process.start()
    connection = {"conn_type": "yandex_vision", "password": API_KEY, "host": here.recv()}
    os.environ["AIRFLOW_CONN_YANDEX_VISION_DEFAULT"] = json.dumps(connection)
    return process


def _serve(pipe: Any) -> None:
    with running(CountingService(latency=0.02)) as url:
        pipe.send(url)
        time.sleep(600)


def timed(run: Callable[[int], None], number: int) -> float:
    started = time.perf_counter()
    run(number)
    return time.perf_counter() - started


def bare(pictures: str) -> None:
    for _ in YandexVisionHook(**FAST).copy_search(list_images(pictures)):
        pass


def operated(pictures: str, database: Path) -> None:
    os.environ["AIRFLOW_CONN_RESULTS_DB"] = json.dumps({"conn_type": "sqlite", "host": str(database)})
    context: Any = {"ti": SimpleNamespace(dag_id="dag", run_id="run", task_id="search", map_index=-1)}
    operator = YandexVisionCopySearchOperator(
        task_id="search", images=pictures, table="copies", sql_conn_id="results_db", **FAST
    )
    operator.execute(context)


if __name__ == "__main__":
    main()
