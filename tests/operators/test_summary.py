from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_yandex_vision.compat import Stats
from airflow_provider_yandex_vision.operators.summary import (
    Problems,
    check_failed,
    count_metrics,
    log_summary,
    summary_of,
)
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.vision.errors import CountError, FailedImagesError
from airflow_provider_yandex_vision.vision.models import CopySearchResult, Status

COUNTS = Counts(found=1, none=1, rejected=1, failed=1, duplicates=1, copies=5, matches=4, requests=2)


def due(**more: Any) -> Any:
    return SimpleNamespace(**{"listed": 7, "skipped": 1, "left_over": 2, "earlier": Counts(), **more})


def test_summary_has_all_counts() -> None:
    assert summary_of(COUNTS, due(), "copies", 1.23456) == {
        "images": 7,
        "found": 1,
        "none": 1,
        "rejected": 1,
        "failed": 1,
        "skipped": 1,
        "duplicates": 1,
        "copies": 5,
        "matches": 4,
        "requests": 2,
        "seconds": 1.235,
        "partial": True,
        "table": "copies",
    }


def test_summary_speaks_of_all_attempts() -> None:
    earlier = Counts(found=2, rejected=1, copies=10, matches=6)
    summary = summary_of(COUNTS, due(listed=10, earlier=earlier), "copies", 1.0)
    assert [summary[name] for name in ("found", "none", "rejected", "failed", "skipped")] == [3, 1, 2, 1, 1]
    assert (summary["copies"], summary["matches"], summary["requests"]) == (15, 10, 2)


def test_run_without_leftovers_is_not_partial() -> None:
    assert summary_of(COUNTS, due(listed=5, left_over=0), None, 1.0)["partial"] is False


@pytest.mark.parametrize("wrong", [{"listed": 8}, {"listed": 6}, {"skipped": 2}, {"left_over": 1}])
def test_image_lost_or_counted_twice_is_an_error(wrong: dict[str, int]) -> None:
    with pytest.raises(CountError, match="accounted for"):
        summary_of(COUNTS, due(**wrong), None, 1.0)


RESULT = {"uri": "file:///a.jpg", "status": "failed", "error_code": "GONE", "error_message": "deleted"}


def outcome(found: int, failed: int, rejected: int = 0, table: str | None = "copies") -> dict[str, Any]:
    counts = {"found": found, "none": 0, "rejected": rejected, "failed": failed, "table": table}
    return counts if table else {**counts, "results": [RESULT] * failed}


@pytest.mark.parametrize(
    ("found", "failed", "rejected", "share"), [(0, 16, 1, 0.1), (320, 4680, 0, 0.1), (89, 11, 0, 0.1), (999, 1, 0, 0.0)]
)
def test_too_large_a_share_of_failed_images_is_an_error(found: int, failed: int, rejected: int, share: float) -> None:
    with pytest.raises(
        FailedImagesError, match=rf"{failed} of {found + failed} images failed, .*see the rows in copies"
    ):
        check_failed(outcome(found, failed, rejected), share)


@pytest.mark.parametrize(
    ("found", "failed", "rejected", "share"), [(90, 10, 0, 0.1), (0, 0, 5, 0.0), (0, 0, 0, 0.0), (0, 5, 0, 1.0)]
)
def test_tolerated_share_of_failed_images_is_no_error(found: int, failed: int, rejected: int, share: float) -> None:
    check_failed(outcome(found, failed, rejected), share)


def test_images_that_were_already_gone_fail_no_run() -> None:
    check_failed(outcome(85, 15), 0.1, still_gone=10)
    check_failed(outcome(0, 5), 0.0, still_gone=5)
    with pytest.raises(FailedImagesError, match="10 of 95 images failed"):
        check_failed(outcome(85, 15), 0.1, still_gone=5)


def test_error_quotes_the_first_reason_without_a_table() -> None:
    with pytest.raises(FailedImagesError, match=r"2 of 2 images failed, .*; file:///a\.jpg: GONE: deleted"):
        check_failed(outcome(0, 2, table=None), 0.1)


def test_log_names_the_first_problems_and_counts_the_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    problems = Problems()
    for number in range(15):
        status: Status = "failed" if number % 2 else "rejected"
        problems.note([CopySearchResult(f"s3://b/{number}", status, error_code="GONE", error_message="deleted")])
        problems.note([CopySearchResult("s3://b/fine", "none", 0)])
    counted = {"new_matches": 3, "open_matches": 2, "new_open_matches": 1}
    log_summary({**summary_of(COUNTS, due(), "copies", 1.0), **counted}, problems)
    lines = caplog.messages
    assert lines[0] == (
        "Searched 7 images: 1 found, 1 none, 1 rejected, 1 failed, 1 skipped; "
        "4 matches, 3 of them new; 2 open, 1 of them new"
    )
    assert lines[1] == "Results are in table copies"
    assert lines[2] == "s3://b/0: rejected: GONE: deleted"
    assert lines[3] == "s3://b/1: failed: GONE: deleted"
    assert len(lines) == 13
    assert lines[-1] == "… and 5 more images that were rejected or failed"


def test_counts_go_to_airflow_s_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: dict[str, int] = {}
    monkeypatch.setattr(Stats, "incr", lambda name, count=1: counted.update({name: count}), raising=False)
    count_metrics(Counts(found=3, none=2, requests=4, throttles=1, bytes_sent=900))
    assert counted == {
        "yandex_vision.images.found": 3,
        "yandex_vision.images.none": 2,
        "yandex_vision.images.rejected": 0,
        "yandex_vision.images.failed": 0,
        "yandex_vision.requests": 4,
        "yandex_vision.throttles": 1,
        "yandex_vision.bytes_sent": 900,
    }
