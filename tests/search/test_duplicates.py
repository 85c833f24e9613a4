from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone

import pytest

from airflow_provider_yandex_vision.search.duplicates import Duplicates
from airflow_provider_yandex_vision.vision.models import CopyMatch, PreparedImage

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
MATCH = CopyMatch("https://a.example/1.jpg", "https://a.example/", "Кот", "", 1, "a.example", "a.example")


def prepared(uri: str, etag: str | None = None) -> PreparedImage:
    return PreparedImage(uri, b"part", "0" * 64, 4, "image/png", etag)


@pytest.fixture
def duplicates() -> Iterator[Duplicates]:
    with closing(Duplicates()) as duplicates:
        yield duplicates


def test_first_image_is_searched_and_the_others_wait(duplicates: Duplicates) -> None:
    assert not duplicates.wait(prepared("memory://a"))
    assert duplicates.wait(prepared("memory://b"))


def test_answer_goes_to_every_image_that_waits(duplicates: Duplicates) -> None:
    first = prepared("memory://a", "v1")
    duplicates.wait(first)
    duplicates.wait(prepared("memory://b", "v2"))
    answer = first.result("found", NOW, copy_count=3, matches=(MATCH,))
    [copy] = duplicates.settle(first, answer)
    assert (copy.uri, copy.etag, copy.copy_count, copy.matches) == ("memory://b", "v2", 3, (MATCH,))


def test_answer_is_remembered_for_later_images(duplicates: Duplicates) -> None:
    first = prepared("memory://a")
    duplicates.wait(first)
    answer = first.result("found", NOW, copy_count=3, matches=(MATCH,))
    assert list(duplicates.settle(first, answer)) == []
    assert duplicates.answer(prepared("memory://b")) == prepared("memory://b").copy_of(answer)


def test_failure_is_not_remembered(duplicates: Duplicates) -> None:
    first = prepared("memory://a")
    duplicates.wait(first)
    list(duplicates.settle(first, first.result("failed", NOW, error_code="NO_REPLY")))
    assert duplicates.answer(first) is None
    assert not duplicates.wait(first)


def test_final_failure_is_remembered(duplicates: Duplicates) -> None:
    first = prepared("memory://a")
    duplicates.wait(first)
    failure = first.result("failed", NOW, error_code="NO_REPLY")
    assert duplicates.settle(first, failure, final=True) == []
    assert duplicates.answer(prepared("memory://b")) == prepared("memory://b").copy_of(failure)
