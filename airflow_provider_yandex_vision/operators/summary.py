"""The summary of a run: counts that add up."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_yandex_vision.results import DueImages
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.vision.errors import CountError, FailedImagesError

STATUSES = ("found", "none", "rejected", "failed")


def summary_of(counts: Counts, due: DueImages, table: str | None, seconds: float) -> dict[str, Any]:
    """Plain numbers, for XCom.

    ``duplicates`` are images that got their answer without being searched, because the same content was; they count
    in ``found`` or ``none`` as well. ``partial`` means that ``max_images`` left some images for another run.

    :raises CountError: an image was lost or counted twice.
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


def counts_of(summary: dict[str, Any]) -> dict[str, Any]:
    """What may be shown anywhere: everything but the results, which quote the web."""
    return {name: value for name, value in summary.items() if name != "results"}


def count_metrics(counts: Counts) -> None:
    """Add a search to the deployment's metrics, if they are on: ``yandex_vision.images.found`` and so on."""
    for status in STATUSES:
        Stats.incr(f"yandex_vision.images.{status}", getattr(counts, status))
    for name in ("requests", "throttles", "bytes_sent"):
        Stats.incr(f"yandex_vision.{name}", getattr(counts, name))


def check_failed(summary: dict[str, Any], *, tolerate: bool) -> None:
    """
    :param tolerate: accept failed images, unless all of them failed.
    :raises FailedImagesError: more images ended ``failed`` than are accepted.
    """
    failed, searched = summary["failed"], sum(summary[status] for status in STATUSES)
    if failed and (not tolerate or failed == searched):
        where = f"see the rows in {summary['table']}" if summary["table"] else _first_reason(summary)
        raise FailedImagesError(f"{failed} of {searched} images failed; {where}")


def _first_reason(summary: dict[str, Any]) -> str:
    result = next(result for result in summary["results"] if result["status"] == "failed")
    return f"{result['uri']}: {result['error_code']}: {result['error_message']}"
