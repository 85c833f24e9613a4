"""Search the same folder every night, and report pages that are new.

An image that has not changed is searched again after a week. ``yandex_vision_monitor`` writes results to a table and,
if there are new pages, updates the asset ``picture_copies``, which triggers ``yandex_vision_report`` to list them.

It runs when it is triggered. To run it every night, give the parameter ``images`` your folder as its default, and set
``schedule="@daily"``.

- Connections: ``yandex_vision_default`` (the credentials) and ``results_db`` (an SQL database).
- Extras: the one of your database (``postgres``, ``mysql`` or ``sqlite``), and the one of your storage, such as
  ``amazon`` for ``s3://``; none for local files.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_yandex_vision.compat import DAG, Asset, Param, task
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator

TABLE = "picture_copies"
COPIES = Asset(TABLE)

NEW_PAGES = f"""
SELECT image.image_uri, page.page_url, page.title
FROM {TABLE} image
JOIN {TABLE}_matches page ON page.image_id = image.image_id AND page.first_seen_run_id = image.run_id
ORDER BY image.image_uri, page.rank_no
"""

with DAG(
    "yandex_vision_monitor",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    params={"images": Param(type="string", description="URL of your folder, such as s3://my_aws@bucket/catalog/")},
    doc_md=__doc__,
    tags=["yandex vision"],
):
    search = YandexVisionCopySearchOperator(
        task_id="search",
        images="{{ params.images }}",
        table=TABLE,
        sql_conn_id="results_db",
        recheck_after=timedelta(days=7),
        retries=2,
    )

    @task.short_circuit
    def has_new_pages(summary: Any) -> bool:
        return bool(summary["new_matches"])

    @task(outlets=[COPIES])
    def announce(summary: Any, *, outlet_events: Any = None) -> None:
        outlet_events[COPIES].extra = {"new_matches": summary["new_matches"], "found": summary["found"]}

    has_new_pages(search.output) >> announce(search.output)

with DAG(
    "yandex_vision_report",
    schedule=[COPIES],
    start_date=datetime(2026, 1, 1),
    catchup=False,
    doc_md=__doc__,
    tags=["yandex vision"],
):
    SQLExecuteQueryOperator(task_id="new_pages", conn_id="results_db", sql=NEW_PAGES)
