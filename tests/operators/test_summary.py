from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Stats

from airflow_provider_yandex_vision.operators.summary import check_failed, count_metrics, summary_of
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.vision.errors import CountError, FailedImagesError

COUNTS = Counts(found=1, none=1, rejected=1, failed=1, duplicates=1, copies=5, matches=4, requests=2)


def due(**more: int) -> Any:
    return SimpleNamespace(**{"listed": 7, "skipped": 1, "left_over": 2, **more})


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


def test_run_without_leftovers_is_not_partial() -> None:
    assert summary_of(COUNTS, due(listed=5, left_over=0), None, 1.0)["partial"] is False


@pytest.mark.parametrize("wrong", [{"listed": 8}, {"listed": 6}, {"skipped": 2}, {"left_over": 1}])
def test_image_lost_or_counted_twice_is_an_error(wrong: dict[str, int]) -> None:
    with pytest.raises(CountError, match="accounted for"):
        summary_of(COUNTS, due(**wrong), None, 1.0)


SUMMARY: dict[str, Any] = {"found": 1, "none": 1, "rejected": 1, "failed": 1, "table": "copies"}
RESULT = {"uri": "file:///a.jpg", "status": "failed", "error_code": "GONE", "error_message": "deleted"}


def test_some_failed_images_are_an_error_unless_tolerated() -> None:
    check_failed(SUMMARY, tolerate=True)
    with pytest.raises(FailedImagesError, match="1 of 4 images failed; see the rows in copies"):
        check_failed(SUMMARY, tolerate=False)


def test_only_failed_images_are_always_an_error() -> None:
    summary = {"found": 0, "none": 0, "rejected": 0, "failed": 2, "table": None, "results": [RESULT, RESULT]}
    with pytest.raises(FailedImagesError, match=r"2 of 2 images failed; file:///a\.jpg: GONE: deleted"):
        check_failed(summary, tolerate=True)


def test_no_failed_image_is_never_an_error() -> None:
    check_failed({**SUMMARY, "failed": 0}, tolerate=False)
    check_failed(dict.fromkeys(SUMMARY, 0), tolerate=False)


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
