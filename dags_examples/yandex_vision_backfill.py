"""Search a large archive once, with several workers.

Each mapped task searches the images whose URI hashes to its shard. ``requests_per_second`` and
``max_concurrent_requests`` apply to all shards together. A task that is killed resumes where it stopped. Run it with
``plan_only=True`` first to see how many requests it needs and how long they take.

Connections: ``yandex_vision_default`` (the API key) and ``results_db`` (a database with concurrent writers, such as
PostgreSQL).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator

SHARDS = 4

with DAG(
    "yandex_vision_backfill",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"images": "file:///opt/airflow/pictures/", "table": "picture_copies"},
    doc_md=__doc__,
    tags=["yandex vision"],
):
    search = YandexVisionCopySearchOperator.partial(
        task_id="search",
        images="{{ params.images }}",
        table="{{ params.table }}",
        sql_conn_id="results_db",
        shards=SHARDS,
        requests_per_second=10,
        max_concurrent_requests=16,
        retries=5,
        retry_delay=timedelta(minutes=1),
    ).expand(shard=list(range(SHARDS)))

    @task
    def total(summaries: Any) -> dict[str, int]:
        """Add up the counts of the shards."""
        counts = list(summaries)
        names = ("images", "found", "none", "rejected", "failed", "skipped", "requests", "new_matches")
        return {name: sum(summary[name] for summary in counts) for name in names}

    total(search.output)
