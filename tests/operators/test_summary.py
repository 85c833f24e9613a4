from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Stats

from airflow_provider_yandex_vision.operators.summary import check_sum, count_metrics, failure
from airflow_provider_yandex_vision.results import DueImages
from airflow_provider_yandex_vision.vision.errors import CountError
from airflow_provider_yandex_vision.search.progress import Counts
from tests.support.pictures import images

MANIFEST: dict[str, Any] = {"images": 5, "found": 1, "none": 1, "rejected": 1, "failed": 1, "skipped": 1, "table": "t"}


@pytest.fixture
def selection() -> DueImages:
    return DueImages(images(5), None)


def test_numbers_that_add_up_pass(selection: DueImages) -> None:
    check_sum(MANIFEST, selection)


@pytest.mark.parametrize("wrong", [{"images": 6}, {"found": 0}, {"skipped": 2}])
def test_a_lost_image_or_one_counted_twice_is_an_error(selection: DueImages, wrong: dict[str, int]) -> None:
    with pytest.raises(CountError, match="accounted for"):
        check_sum({**MANIFEST, **wrong}, selection)


def test_a_miscount_does_not_quote_the_web(selection: DueImages) -> None:
    with pytest.raises(CountError) as caught:
        check_sum({**MANIFEST, "images": 6, "results": [{"title": "Buy now"}]}, selection)
    assert "Buy now" not in str(caught.value)


def test_some_failed_images_are_no_failure_unless_it_was_asked_for() -> None:
    assert failure(MANIFEST, any_failed=False) is None
    assert "1 of 4 images failed; their rows in t say why" in str(failure(MANIFEST, any_failed=True))


def test_nothing_failed_is_never_a_failure() -> None:
    assert failure({**MANIFEST, "failed": 0}, any_failed=True) is None


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
