"""May these new pictures be published, or are they somebody else's already?

Use it for a few pictures whose answer decides what happens next: it goes through XCom, no database is needed.
Trigger it with the pictures as parameter ``images``, or take another task's output.

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
        """Name the pictures that the web has, with the page that shows each best."""
        return [
            f"{result['uri']}: {result['matches'][0]['page_url'] if result['matches'] else 'no page named'}"
            for result in summary["results"]
            if result["status"] == "found"
        ]

    @task
    def publish(summary: Any) -> int:
        return int(summary["none"])

    decide(search.output) >> [hold_back(search.output), publish(search.output)]
