"""Where are copies of my pictures, and which are new since last night?

Use it for pictures that stay: the same folder every night, rows in a table, and a report only when there is news.
A picture that has not changed is searched again after a week, not every night.

Connections: ``yandex_vision_default`` (the API key) and ``results_db`` (any SQL database).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator

with DAG(
    "yandex_vision_monitor",
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    params={"images": "file:///opt/airflow/pictures/", "table": "picture_copies"},
    doc_md=__doc__,
    tags=["yandex vision"],
):
    search = YandexVisionCopySearchOperator(
        task_id="search",
        images="{{ params.images }}",
        table="{{ params.table }}",
        sql_conn_id="results_db",
        recheck_after=timedelta(days=7),
        retries=2,
        outlets=[Asset("picture_copies")],
    )

    @task.short_circuit
    def is_news(manifest: dict[str, int]) -> bool:
        """Go on only where pages were found that no earlier run has seen."""
        return manifest["new_matches"] > 0

    @task
    def report(manifest: dict[str, int]) -> str:
        return f"{manifest['new_matches']} new pages show {manifest['found']} of your pictures"

    is_news(search.output) >> report(search.output)
