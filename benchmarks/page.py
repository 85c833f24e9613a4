"""A report of many findings: time and memory of the task, and the size of what it writes."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image as Pillow
from sqlalchemy import create_engine

from airflow_provider_yandex_vision.results.database import chunks
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult
from benchmarks.processes import Usage, alone, measured
from benchmarks.report import AtMost, figure, show

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "motorcycle_left.png", "rocket.jpg")
SIZE = (1600, 1200)
SITES = 400
MONDAY = datetime(2026, 1, 5, tzinfo=timezone.utc)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks page", description=__doc__)
    parser.add_argument("--findings", type=int, default=5000, metavar="N", help="pages, each with a picture of its own")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        fill(Path(folder), options.findings)
        usage = alone(measured, report, folder, options.findings)
        print_table(usage, Path(folder, "reports"))


def fill(folder: Path, findings: int) -> None:
    """A table of as many pages, and JPEGs of 1600 by 1200 pixels. Few of them differ, but each is a file."""
    (folder / "pictures").mkdir()
    for number, photo in enumerate(PHOTOS):
        content = BytesIO((files("skimage") / "data" / photo).read_bytes())
        Pillow.open(content).convert("RGB").resize(SIZE).save(folder / f"{number}.jpg", quality=88)
    table = ResultTable(create_engine(f"sqlite:///{folder / 'results.db'}"), "copies", TaskKey("dag", "run", "search"))
    table.prepare(create=True)
    for results in chunks(_results(folder, findings)):
        table.write(results)


def _results(folder: Path, findings: int) -> Iterator[CopySearchResult]:
    for number in range(findings):
        picture = folder / "pictures" / f"{number}.jpg"
        os.link(folder / f"{number % len(PHOTOS)}.jpg", picture)
        site = f"site-{number % SITES}.example"
        url = f"https://www.{site}/a/page/with/a/long/path/{number}.html"
        match = CopyMatch(f"{url}.jpg", url, f"Title {number} " * 8, f"About {number} " * 20, 1, f"www.{site}", site)
        at = MONDAY + timedelta(minutes=number)
        yield CopySearchResult(f"file://{picture}", "found", 1, (match,), sha256=f"{number:064}", searched_at=at)


def report(folder: str, findings: int) -> int:
    from airflow_provider_yandex_vision.operators.copy_report import YandexVisionCopyReportOperator

    connection = {"conn_type": "sqlite", "host": f"{folder}/results.db"}
    os.environ["AIRFLOW_CONN_RESULTS_DB"] = json.dumps(connection)
    operator = YandexVisionCopyReportOperator(
        task_id="report", table="copies", sql_conn_id="results_db", output=f"file://{folder}/reports/"
    )
    context: Any = {}
    result = operator.execute(context)
    assert result["findings"] == findings
    return findings


def print_table(usage: Usage, reports: Path) -> None:
    rows = [
        figure("seconds", usage.seconds, AtMost(30)),
        figure("seconds of CPU", usage.cpu_seconds),
        figure("MiB of memory", usage.peak / 2**20, AtMost(300)),
        figure("MiB of memory added by the run", usage.added / 2**20),
        *(figure(f"MB of {file.name}", file.stat().st_size / 1e6) for file in sorted(reports.iterdir())),
    ]
    show(f"Report of {usage.images:,} findings, each with a picture of {SIZE[0]}x{SIZE[1]} pixels", rows)
