"""Search a large archive once, with several workers.

Each mapped task searches the images whose URI hashes to its shard. ``requests_per_second`` and
``max_concurrent_requests`` apply to all shards together. A task that is killed resumes where it stopped.

Run it with ``PLAN_ONLY = True`` first: ``total`` then returns how many requests it needs and how long they take, and
nothing is sent or billed.

- Connections: ``yandex_vision_default`` (the credentials) and ``results_db`` (a database with concurrent writers, such
  as PostgreSQL).
- Extras: the one of your database (``postgres``, ``mysql`` or ``sqlite``), and the one of your storage, such as
  ``amazon`` for ``s3://``; none for local files.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow_provider_yandex_vision.compat import DAG, Param, task
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator

PLAN_ONLY = False
SHARDS = 4

with DAG(
    "yandex_vision_backfill",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={
        "images": Param(type="string", description="URL of the archive, such as s3://my_aws@bucket/archive/"),
        "table": Param("picture_copies", type="string", description="Table for the results, created if it is missing"),
    },
    doc_md=__doc__,
    tags=["yandex vision"],
):
    search = YandexVisionCopySearchOperator.partial(
        task_id="search",
        images="{{ params.images }}",
        table="{{ params.table }}",
        sql_conn_id="results_db",
        plan_only=PLAN_ONLY,
        shards=SHARDS,
        requests_per_second=10,
        max_concurrent_requests=16,
        retries=5,
        retry_delay=timedelta(minutes=1),
    ).expand(shard=list(range(SHARDS)))

    @task
    def total(summaries: Any) -> dict[str, Any]:
        """Add up the counts of the shards, which run side by side."""
        shards = list(summaries)
        names = ("images", "found", "none", "rejected", "failed", "skipped", "requests", "new_matches")
        counts = {name: sum(shard[name] for shard in shards) for name in names}
        return {**counts, "seconds": max(shard["seconds"] for shard in shards)}

    total(search.output)
