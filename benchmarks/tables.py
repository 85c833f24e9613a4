"""Rows per second written to the results tables, compared with Airflow's ``DbApiHook.insert_rows``.

``python -m benchmarks tables --rows 22000 [URL ...]``. Medians of three rounds; all rounds write the same results
to new tables. A call of :class:`ResultTable` writes 64 images with 10 matches each; the hook commits every 1,000 rows.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.compat import Connection
from airflow_provider_yandex_vision.results.database import chunks
from airflow_provider_yandex_vision.results.rows import NewRow, TaskKey, image_row, match_rows
from airflow_provider_yandex_vision.results.schema import FindingTables, LedgerTables, Tables
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult, utc_now

ROUNDS = 3
MATCHES = 10
IMAGES_PER_CALL = 64
TASK = TaskKey("monitor", "scheduled__2026-01-01T00:00:00+00:00", "search")


class EngineHook(DbApiHook):
    """Airflow's insert, with the same driver."""

    conn_name_attr = "conn_id"
    supports_autocommit = True

    def __init__(self, engine: Engine) -> None:
        super().__init__(connection=Connection(conn_id="benchmark", conn_type=engine.dialect.name))
        self._engine = engine
        self._placeholder = "?" if engine.dialect.name == "sqlite" else "%s"

    @property
    def placeholder(self) -> str:
        return self._placeholder

    def get_conn(self) -> Any:
        return self._engine.raw_connection()

    def set_autocommit(self, conn: object, autocommit: bool) -> None:
        """Off by default in these drivers."""

    def get_autocommit(self, conn: object) -> bool:
        return False

    def insert(self, table: str, rows: list[NewRow]) -> None:
        values = [tuple(map(without_zone, row.values())) for row in rows]
        self.insert_rows(table, values, target_fields=list(rows[0]), commit_every=1000, executemany=True)


def without_zone(value: object) -> object:
    """The hook formats times as text, and MariaDB does not accept a time zone in it."""
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def results(images: int) -> list[CopySearchResult]:
    def matches(image: int) -> Iterator[CopyMatch]:
        for n in range(MATCHES):
            page = f"https://example.org/news/{image}/{n}?from=search&position={n}"
            title, text = f"Снимок {image} на странице {n}", "A photograph of a harbour at dawn, published again. " * 3
            yield CopyMatch(
                f"https://img.example.org/{image}/{n}.jpg", page, title, text, n + 1, "example.org", "example.org"
            )

    now = utc_now()
    return [
        CopySearchResult(
            f"s3://bucket/catalog/{image:09d}.jpg", "found", MATCHES, tuple(matches(image)), sha256=f"{image:064x}",
            size=100_000, etag=f"{image:032x}", mime_type="image/jpeg", searched_at=now,
        )
        for image in range(images)
    ]  # fmt: skip


@contextmanager
def fresh_tables(engine: Engine) -> Iterator[ResultTable]:
    name = f"bench_{uuid.uuid4().hex[:8]}"
    table = ResultTable(engine, name, TASK)
    table.prepare()
    try:
        yield table
    finally:
        drop(engine, name)


def drop(engine: Engine, name: str) -> None:
    """Views first, since they depend on the tables."""
    *kept, findings, open_findings = FindingTables.named(name)
    with engine.begin() as connection:
        for view in (open_findings, findings):
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS {view.fullname}")
    for table in (*Tables.named(name), *LedgerTables.named(name), *kept):
        table.drop(engine, checkfirst=True)


def write_all(table: ResultTable, found: list[CopySearchResult]) -> None:
    for chunk in chunks(found, IMAGES_PER_CALL):
        table.write(chunk)


def write_new(engine: Engine, found: list[CopySearchResult]) -> float:
    with fresh_tables(engine) as table:
        return seconds(partial(write_all, table, found))


def insert_with_hook(engine: Engine, found: list[CopySearchResult]) -> float:
    hook = EngineHook(engine)
    with fresh_tables(engine) as table:

        def insert() -> None:
            hook.insert(table.name, [image_row(result, TASK, utc_now(), MATCHES) for result in found])
            hook.insert(f"{table.name}_matches", [row for result in found for row in match_rows(result, TASK)])

        return seconds(insert)


def write_again(engine: Engine, found: list[CopySearchResult]) -> float:
    with fresh_tables(engine) as table:
        write_all(table, found)
        return seconds(partial(write_all, table, found))


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def report(urls: Iterable[str], rows: int) -> None:
    found = results(rows // (MATCHES + 1))
    ways: list[Callable[[Engine, list[CopySearchResult]], float]] = [write_new, write_again, insert_with_hook]
    print(f"{'database':<12}{'rows':>8}{'rows/s, new':>14}{'rows/s, again':>15}{'insert_rows':>13}{'new/insert':>12}")
    for url in urls:
        engine = create_engine(url)
        rounds = [[rows / way(engine, found) for way in ways] for _ in range(ROUNDS)]
        new, second, hook = (statistics.median(rates) for rates in zip(*rounds, strict=True))
        print(f"{engine.dialect.name:<12}{rows:>8}{new:>14.0f}{second:>15.0f}{hook:>13.0f}{new / hook:>11.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=22_000)
    parser.add_argument(
        "urls", nargs="*", default=[f"sqlite:///{tempfile.mkdtemp()}/results.db"], help="SQLAlchemy URLs of databases"
    )
    arguments = parser.parse_args()
    report(arguments.urls, arguments.rows)


if __name__ == "__main__":
    main()
