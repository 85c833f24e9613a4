from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.results.silence import Silence
from airflow_provider_yandex_vision.results.table import SearchedImage
from airflow_provider_yandex_vision.vision.errors import CopySearchOffError
from airflow_provider_yandex_vision.vision.models import CopySearchResult, Status

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def searched(copies: int | None) -> SearchedImage:
    return SearchedImage("found" if copies else "none", copies, 0, None, NOW, NOW, "dag", "run", "task", -1)


def results(status: Status, count: int, *, first: int = 0, name: str = "known") -> list[CopySearchResult]:
    numbers = range(first, first + count)
    return [CopySearchResult(f"memory://{name}/{n}", status, sha256=f"{n:064}") for n in numbers]


@pytest.fixture
def silence() -> Silence:
    """Images below ``known`` had copies, others are new or had none."""

    def lookup(uris: Sequence[str]) -> dict[str, SearchedImage]:
        copies = {"memory://known": 3, "memory://none": 0, "memory://failed": None}
        known = {uri: copies.get(uri.rpartition("/")[0]) for uri in uris}
        return {uri: searched(known[uri]) for uri in uris if "new" not in uri}

    return Silence(lookup)


def test_service_that_finds_nothing_any_more_is_noticed(silence: Silence) -> None:
    for number in range(49):
        assert silence.admit(results("none", 1, first=number)) == []
        silence.check()
    assert silence.admit(results("none", 1, first=49)) == []
    with pytest.raises(CopySearchOffError, match="copy search seems to be off: 50 of 50 images that had copies have"):
        silence.check()


def test_two_of_fifty_that_still_have_copies_are_too_few(silence: Silence) -> None:
    silence.admit(results("none", 38))
    silence.admit(results("found", 2, first=38))
    silence.admit(results("none", 10, first=40))
    with pytest.raises(CopySearchOffError, match="48 of 50"):
        silence.check()


def test_results_are_released_as_soon_as_enough_images_still_have_copies(silence: Silence) -> None:
    silent = results("none", 18)
    found = results("found", 1, first=18)
    assert silence.admit(silent) == []
    assert silence.admit(found) == [*found, *silent]
    silence.check()
    assert silence.release() == []


def test_service_that_goes_silent_during_a_run_is_noticed(silence: Silence) -> None:
    found = results("found", 500)
    assert silence.admit(found) == found
    assert silence.admit(results("none", 50, first=500)) == []
    with pytest.raises(CopySearchOffError):
        silence.check()


@pytest.mark.parametrize("name", ["new", "none", "failed"])
@pytest.mark.parametrize("status", ["none", "found", "rejected", "failed"])
def test_images_that_had_no_copies_are_not_suspicious(silence: Silence, name: str, status: Status) -> None:
    unsuspicious = results(status, 200, name=name)
    assert silence.admit(unsuspicious) == unsuspicious
    silence.check()


@pytest.mark.parametrize("status", ["rejected", "failed"])
def test_images_without_an_answer_prove_nothing(silence: Silence, status: Status) -> None:
    silence.admit(results("none", 30))
    unanswered = results(status, 200, first=30)
    assert silence.admit(unanswered) == unanswered
    silence.check()


def test_one_content_under_many_names_counts_once(silence: Silence) -> None:
    twins = [CopySearchResult(f"memory://known/{n}", "none", sha256="0" * 64) for n in range(200)]
    assert silence.admit(twins) == []
    silence.check()
    assert silence.release() == twins


def test_few_silent_images_are_released_at_the_end(silence: Silence) -> None:
    silent = results("none", 49)
    assert silence.admit(silent) == []
    silence.check()
    assert silence.release() == silent


@given(found=st.lists(st.booleans(), max_size=400), size=st.integers(1, 64))
def test_every_result_is_released_once_or_the_service_is_off(found: list[bool], size: int) -> None:
    silence = Silence(lambda uris: {uri: searched(1) for uri in uris})
    every = [
        CopySearchResult(f"memory://{n}", "found" if copies else "none", sha256=f"{n:064}")
        for n, copies in enumerate(found)
    ]
    admitted: list[CopySearchResult] = []
    for start in range(0, len(every), size):
        batch = every[start : start + size]
        admitted += silence.admit(batch)
        try:
            silence.check()
        except CopySearchOffError:
            seen = every[: start + size]
            assert sum(result.status == "none" for result in seen) >= 48
            assert all(result in admitted for result in seen if result.status == "found")
            return
    admitted += silence.release()
    assert sorted(admitted, key=lambda result: result.uri) == sorted(every, key=lambda result: result.uri)
