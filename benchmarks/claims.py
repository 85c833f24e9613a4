"""What claims and shares cost a search, compared with one that knows of no other task: ``python -m benchmarks claims``.

Neither writes results, so the difference is the ledger alone: looking up answers, claiming, ending claims, renewing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path

from sqlalchemy import create_engine

from airflow_provider_yandex_vision.results.quota import TableLedger
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.search.ledger import NoLedger, Share
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import ApiKey, Image, VisionClient
from benchmarks.pictures import picture
from benchmarks.processes import Usage, alone, measured, service
from benchmarks.report import AtLeast, AtMost, comparison, figure, show
from benchmarks.service import Behaviour
from benchmarks.tasks import DATABASES, fresh_table

QUOTA = 10.0
"""Requests per second."""
FAST = 50.0
PER_REQUEST = 8
IMAGE_BYTES = 20_000
WARM_UP = 128
"""Images that are searched before anything is measured: each statement is compiled once."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks claims", description=__doc__)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--databases", nargs="*", choices=DATABASES, default=list(DATABASES))
    options = parser.parse_args()
    for database in options.databases:
        with tempfile.TemporaryDirectory() as home, service(Behaviour(latency=0.1)) as served:
            rows = report(served.host, database, Path(home), options.batches, options.rounds)
        show(f"{options.batches} batches of {PER_REQUEST} images, {database}", rows)


def report(host: str, database: str, home: Path, batches: int, rounds: int) -> list[list[str]]:
    fast = [[_run(host, database, home, FAST, batches, has) for has in (True, False)] for _ in range(rounds)]
    milliseconds = [(ours.cpu_seconds - none.cpu_seconds) / batches * 1000 for ours, none in fast]
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(_run, host, database, home, QUOTA, batches, has) for has in (True, False)]
        ours, none = (run.result() for run in runs)
    return [
        figure("ms of CPU a batch", statistics.median(milliseconds), AtMost(2.0), digits=2),
        comparison(
            f"images/s at {QUOTA:g} requests/s, peer without claims",
            [ours.images_per_second],
            [none.images_per_second],
            AtLeast(0.95),
        ),
    ]


def _run(host: str, database: str, home: Path, rate: float, batches: int, has_ledger: bool) -> Usage:
    with fresh_table(database, home) as (url, table):
        return alone(search, host, url, table, rate, batches * PER_REQUEST, has_ledger)


def search(host: str, url: str, table: str, rate: float, images: int, has_ledger: bool) -> Usage:
    engine = create_engine(url)
    results = ResultTable(engine, table, TaskKey("dag", "run", "search"))
    results.prepare()
    ledger = TableLedger(engine, results, "yandex_vision_default", Share())
    if has_ledger:
        ledger.open()
    with closing(ledger) if has_ledger else nullcontext():
        _search(host, rate, range(-WARM_UP, 0), ledger if has_ledger else None)
        return measured(_search, host, rate, range(images), ledger if has_ledger else None)


def _search(host: str, rate: float, images: range, ledger: TableLedger | None) -> int:
    listed = (
        Image(f"file:///{n}", lambda n=n: picture(n + WARM_UP, IMAGE_BYTES), IMAGE_BYTES)  # type: ignore[misc]
        for n in images
    )
    client = VisionClient(ApiKey("benchmark"), host=host)
    found = 0
    for batch in CopySearch(client, listed, Settings(rate), ledger=ledger or NoLedger()).batches():
        if ledger:
            ledger.settle(batch)
        found += len(batch)
    return found


if __name__ == "__main__":
    main()
