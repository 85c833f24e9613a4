"""Publish new images only if the web does not show them yet.

For a few images whose results decide what runs next. Results go through XCom, so no database is needed. Trigger it
with the parameter ``images``, or pass the output of another task: if that is an empty list, nothing is published.

- Connection: ``yandex_vision_default`` (the credentials).
- Extras: the one of your storage, such as ``amazon`` for ``s3://``; none for local files.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_yandex_vision.compat import DAG, Param, task
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator

with DAG(
    "yandex_vision_gate",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={
        "images": Param(
            type="array",
            items={"type": "string"},
            description="URLs of the images to check, such as s3://my_aws@bucket/new/1.jpg",
        )
    },
    doc_md=__doc__,
    tags=["yandex vision"],
):
    search = YandexVisionCopySearchOperator(task_id="search", images="{{ params.images }}", retries=2)

    @task.branch
    def decide(summary: Any) -> str:
        # An image that was rejected or failed was not searched: nobody knows whether the web shows it.
        return "publish" if summary["none"] == summary["images"] else "hold_back"

    @task
    def hold_back(summary: Any) -> list[str]:
        """The images that must wait, each with its most relevant page, or the reason why it was not searched."""
        return [f"{image['uri']}: {reason(image)}" for image in summary["results"] if image["status"] != "none"]

    @task
    def publish(summary: Any) -> list[str]:
        return [image["uri"] for image in summary["results"]]

    decide(search.output) >> [hold_back(search.output), publish(search.output)]


def reason(image: dict[str, Any]) -> str:
    if image["status"] == "found":
        return str(image["matches"][0]["page_url"]) if image["matches"] else "no page listed"
    return f"{image['status']}: {image['error_message']}"
