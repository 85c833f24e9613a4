"""Time and memory needed to skip unchanged images: ``python -m benchmarks skip --rows 1000000 [URL ...]``.

Prints seconds, microseconds of this process's CPU per image and the growth of its memory, as medians of three rounds.
The table contains every listed image, searched an hour ago with the same etag.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from datetime import timedelta

import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.database import chunks
from airflow_provider_yandex_vision.results.due import DueImages
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.models import CopySearchResult, Image, utc_now

ROUNDS = 3


def listing(rows: int) -> Iterator[Image]:
    return (Image(f"s3://bucket/catalog/{n:09d}.jpg", bytes, 1000, f"{n:032x}") for n in range(rows))


def fill(engine: Engine, name: str, rows: int) -> None:
    table = ResultTable(engine, name, TaskKey("monitor", "yesterday", "search"))
    table.prepare()
    hour_ago = utc_now() - timedelta(hours=1)
    results = (
        CopySearchResult(image.uri, "none", 0, sha256="0" * 64, size=image.size, etag=image.etag, searched_at=hour_ago)
        for image in listing(rows)
    )
    for chunk in chunks(results, 5000):
        table.write(chunk)


def measure(engine: Engine, name: str, rows: int) -> tuple[float, float, float]:
    table = ResultTable(engine, name, TaskKey("monitor", "today", "search"))
    due = DueImages(listing(rows), table, recheck_after=timedelta(days=7))
    before, cpu, started = psutil.Process().memory_info().rss, time.process_time(), time.perf_counter()
    to_search = sum(1 for _ in due)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    grown = psutil.Process().memory_info().rss - before
    if (to_search, due.unchanged) != (0, rows):
        raise SystemExit(f"invalid benchmark: {to_search} images to search, {due.unchanged} of {rows} unchanged")
    return seconds, cpu / rows * 1e6, grown / 2**20


def report(urls: Iterable[str], rows: int) -> None:
    print(f"{'database':<12}{'images':>10}{'seconds':>10}{'µs CPU/image':>15}{'MB grown':>10}")
    for url in urls:
        engine, name = create_engine(url), f"skip_{uuid.uuid4().hex[:8]}"
        try:
            fill(engine, name, rows)
            figures = zip(*(measure(engine, name, rows) for _ in range(ROUNDS)), strict=True)
            seconds, cpu, grown = map(statistics.median, figures)
            print(f"{engine.dialect.name:<12}{rows:>10}{seconds:>10.1f}{cpu:>15.1f}{grown:>10.1f}")
        finally:
            with engine.begin() as connection:
                for suffix in ("", "_matches"):
                    connection.execute(text(f"DROP TABLE IF EXISTS {name}{suffix}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "urls", nargs="*", default=[f"sqlite:///{tempfile.mkdtemp()}/results.db"], help="SQLAlchemy URLs of databases"
    )
    arguments = parser.parse_args()
    report(arguments.urls, arguments.rows)


if __name__ == "__main__":
    main()
