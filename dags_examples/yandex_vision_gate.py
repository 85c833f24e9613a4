"""Publish new images only if the web does not show them yet.

For a few images whose results decide what runs next. Results go through XCom, so no database is needed. Trigger it
with the parameter ``images``, or pass the output of another task.

Connection: ``yandex_vision_default`` (the API key).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator

with DAG(
    "yandex_vision_gate",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"images": ["file:///opt/airflow/pictures/new.jpg"]},
    doc_md=__doc__,
    tags=["yandex vision"],
):
    search = YandexVisionCopySearchOperator(
        task_id="search",
        images="{{ params.images }}",
        fail_on_partial_error=True,
        retries=2,
    )

    @task.branch
    def decide(summary: Any) -> str:
        return "hold_back" if summary["found"] else "publish"

    @task
    def hold_back(summary: Any) -> list[str]:
        """The images that were found, each with its most relevant page."""
        return [
            f"{result['uri']}: {result['matches'][0]['page_url'] if result['matches'] else 'no page listed'}"
            for result in summary["results"]
            if result["status"] == "found"
        ]

    @task
    def publish(summary: Any) -> int:
        return int(summary["none"])

    decide(search.output) >> [hold_back(search.output), publish(search.output)]
