"""Publish those new images that no stranger's site shows yet, and hold the others back.

For a few images whose results decide what runs next. Results go through XCom, so no database is needed. Trigger it
with the parameter ``images``, or pass the output of another task: if that is an empty list, nothing is published.
Pages on ``own_sites`` do not count.

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
        ),
        "own_sites": Param(
            [],
            type="array",
            items={"type": "string"},
            description="Sites of your own, such as example.com: pages there are no reason to hold an image back",
        ),
    },
    doc_md=__doc__,
    tags=["yandex vision"],
):
    search = YandexVisionCopySearchOperator(
        task_id="search",
        images="{{ params.images }}",
        own_sites="{{ params.own_sites }}",
        max_failed_share=1,  # images that failed are held back, too
        retries=2,
    )

    @task
    def hold_back(summary: Any) -> list[str]:
        """The images that must wait, each with a page that shows it, or the reason why it was not searched."""
        return [f"{image['uri']}: {why}" for image in summary["results"] if (why := reason(image))]

    @task
    def publish(summary: Any) -> list[str]:
        return [image["uri"] for image in summary["results"] if not reason(image)]

    hold_back(search.output)
    publish(search.output)


def reason(image: dict[str, Any]) -> str | None:
    """Why an image must wait, or None."""
    if image["status"] in ("rejected", "failed"):
        # It was not searched: nobody knows whether the web shows it.
        return f"{image['status']}: {image['error_message']}"
    open_pages = [match["page_url"] or match["image_url"] for match in image["matches"] if match["open"]]
    if open_pages:
        return str(open_pages[0])
    if image["open_matches"] or (image["status"] == "found" and not image["matches"]):
        return "the web shows it, on pages that are not listed here"
    return None
