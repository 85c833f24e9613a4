"""The manifest: what a run came to, in numbers that add up."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_yandex_vision.sinks import Selection
from airflow_provider_yandex_vision.vision.errors import CountError, FailedImagesError
from airflow_provider_yandex_vision.vision.progress import Counts

STATUSES = ("found", "none", "rejected", "failed")


def manifest_of(counts: Counts, selection: Selection, table: str | None, seconds: float) -> dict[str, Any]:
    """Plain numbers, for XCom.

    ``duplicates`` are images that were answered without being searched, since the same content was; they count
    in ``found`` or ``none`` as well. ``partial`` says that ``max_images`` left some for another run.
    """
    return {
        "images": selection.listed,
        "found": counts.found,
        "none": counts.none,
        "rejected": counts.rejected,
        "failed": counts.failed,
        "skipped": selection.skipped,
        "duplicates": counts.duplicates,
        "copies": counts.copies,
        "matches": counts.matches,
        "requests": counts.requests,
        "seconds": round(seconds, 3),
        "partial": selection.left_over > 0,
        "table": table,
    }


def counts_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """What may be shown anywhere: not the results, which quote the web."""
    return {name: value for name, value in manifest.items() if name != "results"}


def count_metrics(counts: Counts) -> None:
    """Add a search to the deployment's metrics, where it has them on: ``yandex_vision.images.found`` and so on."""
    for status in STATUSES:
        Stats.incr(f"yandex_vision.images.{status}", getattr(counts, status))
    for name in ("requests", "throttles", "bytes_sent"):
        Stats.incr(f"yandex_vision.{name}", getattr(counts, name))


def check_sum(manifest: dict[str, Any], selection: Selection) -> None:
    """:raises CountError: an image was lost, or counted twice."""
    accounted = sum(manifest[status] for status in STATUSES) + manifest["skipped"] + selection.left_over
    if accounted != manifest["images"]:
        raise CountError(f"{manifest['images']} images were listed, {accounted} accounted for: {counts_of(manifest)}")


def failure(manifest: dict[str, Any], *, any_failed: bool) -> FailedImagesError | None:
    """What is to be raised about images that ended ``failed``, if anything."""
    failed, searched = manifest["failed"], sum(manifest[status] for status in STATUSES)
    if failed and (any_failed or failed == searched):
        where = f"their rows in {manifest['table']} say why" if manifest["table"] else _first_reason(manifest)
        return FailedImagesError(f"{failed} of {searched} images failed; {where}")
    return None


def _first_reason(manifest: dict[str, Any]) -> str:
    result = next(result for result in manifest["results"] if result["status"] == "failed")
    return f"{result['uri']}: {result['error_code']}: {result['error_message']}"
