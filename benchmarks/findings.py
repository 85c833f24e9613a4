"""How long people wait for findings: a page of open ones, counts, and a whole report's selection.

``python -m benchmarks findings --images 100000 [URL]``. The database is filled with three matches an image: one on a
site of the user's own, one on one of 50 licensed sites, one on one of 20,000 others. One image in 20 has the content of
another. Two states are measured: ``few decisions``, where a third of the findings are open, and ``few open``, where
all but a few sites are decided. Times are medians of three, after ``ANALYZE``, with the server as it is configured.
"""

from __future__ import annotations

import argparse
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.findings import Findings
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.table import ResultTable
from benchmarks.report import AtMost, Goal, figure, show
from benchmarks.tables import drop

ROUNDS = 3
PAGE = 500
GOAL = AtMost(1.0)
TASK = TaskKey("backfill", "manual__2026-01-01", "search")

FILL = """
INSERT INTO {name} (image_id, image_uri, status, copy_count, match_count, content_sha256, etag, size_bytes, mime_type,
                    searched_at, dag_id, run_id, task_id, map_index)
SELECT encode(sha256(('i' || n)::bytea), 'hex'), 's3://bucket/catalog/' || n || '.jpg', 'found', 3, 3,
       encode(sha256(('c' || n - (n % 20 = 0)::int)::bytea), 'hex'), md5(n::text), 100000, 'image/jpeg',
       timestamptz '2026-11-01' + n % 26 * interval '1 day', 'backfill', 'manual__2026-01-01', 'search', -1
FROM generate_series(1, {images}) n;
INSERT INTO {name}_matches
SELECT encode(sha256((n || 'm' || rank_no)::bytea), 'hex'),
       encode(sha256((content || 'p' || rank_no)::bytea), 'hex'), encode(sha256(('i' || n)::bytea), 'hex'), rank_no,
       'https://cdn.' || site || '/' || n || '/' || rank_no || '.jpg',
       'https://www.' || site || '/news/' || content || '/' || rank_no || '?from=search', 'www.' || site, site,
       'Снимок ' || n || ' на странице ' || rank_no,
       repeat('A photograph of a harbour at dawn, published again. ', 3), true,
       timestamptz '2026-01-01' + content * 330.0 / {images} * interval '1 day', timestamptz '2026-11-01',
       'backfill', 'manual__2026-01-01'
FROM (
    SELECT n, n - (n % 20 = 0)::int AS content, rank_no, CASE rank_no
        WHEN 1 THEN 'own.example'
        WHEN 2 THEN 'licensed' || n % 50 || '.example'
        ELSE 'site' || n % 20000 * 7919 % 20000 || '.example'
    END AS site
    FROM generate_series(1, {images}) n, generate_series(1, 3) rank_no
) AS shown;
INSERT INTO {name}_decisions (kind, subject, verdict) VALUES ('site', 'own.example', 'own');
INSERT INTO {name}_decisions (kind, subject, verdict)
SELECT 'site', 'licensed' || n || '.example', 'licensed' FROM generate_series(0, 49) n;
ANALYZE {name}; ANALYZE {name}_matches; ANALYZE {name}_decisions;
"""

DECIDE = """
INSERT INTO {name}_decisions (kind, subject, verdict)
SELECT 'site', 'site' || n || '.example', 'ignored' FROM generate_series(0, 19999) n WHERE n % 500 <> 0;
ANALYZE {name}_decisions;
"""


@contextmanager
def filled(engine: Engine, images: int) -> Iterator[str]:
    """Name of a table with as many images, and three times as many matches."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    try:
        ResultTable(engine, name, TASK).prepare()
        _execute(engine, FILL.format(name=name, images=images))
        yield name
    finally:
        drop(engine, name)


def measure(engine: Engine, name: str) -> list[list[str]]:
    findings = Findings(engine, name)
    page = f"SELECT * FROM {name}_open"
    queries: list[tuple[str, Callable[[], object], Goal | None]] = [
        ("page of open ones, newest first", _query(engine, f"{page} ORDER BY first_seen_at DESC LIMIT {PAGE}"), GOAL),
        ("page of open ones, in any order", _query(engine, f"{page} LIMIT {PAGE}"), GOAL),
        ("page of open ones on a site", _query(engine, f"{page} WHERE site = 'site500.example' LIMIT {PAGE}"), None),
        ("how many are open", findings.count_open, None),
        ("how many are gone", lambda: list(findings.select("gone")), None),
        ("top sites", findings.top_sites, None),
    ]
    return [figure(f"{what}, s", _median(query), goal, digits=2) for what, query, goal in queries]


def _execute(engine: Engine, statements: str) -> None:
    with engine.begin() as connection:
        for statement in filter(str.strip, statements.split(";\n")):
            connection.execute(text(statement))


def _query(engine: Engine, sql: str) -> Callable[[], Any]:
    def read() -> Any:
        with engine.connect() as connection:
            return connection.execute(text(sql)).fetchall()

    return read


def _median(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("url", nargs="?", default="postgresql+psycopg2://postgres@127.0.0.1/test", help="of PostgreSQL")
    arguments = parser.parse_args()
    engine = create_engine(arguments.url)
    with filled(engine, arguments.images) as name:
        size = f"{arguments.images:,} images, {3 * arguments.images:,} matches"
        show(f"{size}, few decisions", measure(engine, name))
        _execute(engine, DECIDE.format(name=name))
        show(f"{size}, few open", measure(engine, name))
    engine.dispose()


if __name__ == "__main__":
    main()
