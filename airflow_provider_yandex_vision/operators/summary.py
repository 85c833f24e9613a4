"""The summary of a run: counts that add up."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from airflow_provider_yandex_vision.compat import Stats
from airflow_provider_yandex_vision.results.due import DueImages
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.vision.errors import CountError, FailedImagesError, printable
from airflow_provider_yandex_vision.vision.models import CopySearchResult

log = logging.getLogger(__name__)

MAX_SHOWN = 10
STATUSES = ("found", "none", "rejected", "failed")


def summary_of(
    counts: Counts, due: DueImages, table: str | None, seconds: float, *, planned: int = 0
) -> dict[str, Any]:
    """Plain numbers, for XCom, about the task instance's whole run: this attempt and those before it.

    ``requests``, ``seconds`` and ``duplicates`` are those of this attempt. ``duplicates`` got the answer for an image
    with the same content, and count as ``found`` or ``none`` as well. ``partial`` means that ``max_images`` left images
    for another run.

    :param planned: images that would be searched, if nothing was.
    :raises CountError: an image was lost, or counted twice.
    """
    summary = {
        "images": due.listed,
        **{name: getattr(counts, name) + getattr(due.earlier, name) for name in (*STATUSES, "copies", "matches")},
        "skipped": due.skipped,
        "duplicates": counts.duplicates,
        "requests": counts.requests,
        "seconds": round(seconds, 3),
        "partial": due.left_over > 0,
        "table": table,
    }
    accounted = counts.images + planned + due.earlier.images + due.skipped + due.left_over
    if accounted != due.listed:
        raise CountError(f"{due.listed} images were listed, but {accounted} are accounted for: {summary}")
    return summary


def count_metrics(counts: Counts) -> None:
    """Add a search to Airflow's metrics: ``yandex_vision.images.found`` and so on."""
    for status in STATUSES:
        Stats.incr(f"yandex_vision.images.{status}", getattr(counts, status))
    for name in ("requests", "throttles", "bytes_sent"):
        Stats.incr(f"yandex_vision.{name}", getattr(counts, name))


class Problems:
    """The first images that were rejected or failed, for the log, and how many there are."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[CopySearchResult] = []

    def note(self, results: Iterable[CopySearchResult]) -> None:
        problems = [result for result in results if result.status in ("rejected", "failed")]
        self.count += len(problems)
        self.first += problems[: MAX_SHOWN - len(self.first)]


def log_summary(summary: dict[str, Any], problems: Problems) -> None:
    """What people want to know at the end."""
    log.info(
        "Searched %(images)s images: %(found)s found, %(none)s none, %(rejected)s rejected, %(failed)s failed, "
        "%(skipped)s skipped; %(matches)s matches, %(new_matches)s of them new; "
        "%(open_matches)s open, %(new_open_matches)s of them new",
        summary,
    )
    log.info("Results are in %s", f"table {summary['table']}" if summary["table"] else "XCom")
    for result in problems.first:
        reason = f"{result.uri}: {result.status}: {result.error_code}: {result.error_message}"
        log.warning("%s", printable(reason))
    if problems.count > len(problems.first):
        log.warning("… and %s more images that were rejected or failed", f"{problems.count - len(problems.first):,}")


def check_failed(summary: dict[str, Any], max_failed_share: float, still_gone: int = 0) -> None:
    """
    :param still_gone: failed images that did not exist in an earlier run either: no reason to fail run after run.
    :raises FailedImagesError: of the images searched, not counting rejected ones, too large a share failed.
    """
    failed = summary["failed"] - still_gone
    searched = summary["found"] + summary["none"] + failed
    if failed > max_failed_share * searched:
        reason = f"see the rows in {summary['table']}"
        if not summary["table"]:
            first = next(result for result in summary["results"] if result["status"] == "failed")
            reason = f"{first['uri']}: {first['error_code']}: {first['error_message']}"
        raise FailedImagesError(
            f"{failed} of {searched} images failed, more than max_failed_share={max_failed_share}; {reason}"
        )
