"""The summary of a run: counts that add up."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_yandex_vision.results.due import DueImages
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.vision.errors import CountError, FailedImagesError

STATUSES = ("found", "none", "rejected", "failed")


def summary_of(counts: Counts, due: DueImages, table: str | None, seconds: float) -> dict[str, Any]:
    """Plain numbers, for XCom.

    ``duplicates`` got the answer for an image with the same content, and count as ``found`` or ``none`` as well.
    ``partial`` means that ``max_images`` left images for another run.

    :raises CountError: an image was lost, or counted twice.
    """
    summary = {
        "images": due.listed,
        **{status: getattr(counts, status) for status in STATUSES},
        "skipped": due.skipped,
        "duplicates": counts.duplicates,
        "copies": counts.copies,
        "matches": counts.matches,
        "requests": counts.requests,
        "seconds": round(seconds, 3),
        "partial": due.left_over > 0,
        "table": table,
    }
    accounted = counts.images + due.skipped + due.left_over
    if accounted != due.listed:
        raise CountError(f"{due.listed} images were listed, but {accounted} are accounted for: {summary}")
    return summary


def count_metrics(counts: Counts) -> None:
    """Add a search to Airflow's metrics: ``yandex_vision.images.found`` and so on."""
    for status in STATUSES:
        Stats.incr(f"yandex_vision.images.{status}", getattr(counts, status))
    for name in ("requests", "throttles", "bytes_sent"):
        Stats.incr(f"yandex_vision.{name}", getattr(counts, name))


def check_failed(summary: dict[str, Any], *, tolerate: bool) -> None:
    """:raises FailedImagesError: all images failed or, unless tolerated, some."""
    failed, searched = summary["failed"], sum(summary[status] for status in STATUSES)
    if failed and (not tolerate or failed == searched):
        reason = f"see the rows in {summary['table']}"
        if not summary["table"]:
            first = next(result for result in summary["results"] if result["status"] == "failed")
            reason = f"{first['uri']}: {first['error_code']}: {first['error_message']}"
        raise FailedImagesError(f"{failed} of {searched} images failed; {reason}")
