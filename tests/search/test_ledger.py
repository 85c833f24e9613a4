from __future__ import annotations

import time
from collections.abc import Collection

import pytest

from airflow_provider_yandex_vision.search.ledger import Known, Share
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.vision import CopySearchResult
from tests.support.fake_service import FakeService, found, settings
from tests.support.pictures import images

ANSWER = CopySearchResult("memory://elsewhere", "found", 9)


class Alone:
    """A ledger that knows no other task."""

    def __init__(self, share: Share = Share()) -> None:  # noqa: B008 - it is frozen
        self.share = share

    def known(self, sha256s: Collection[str]) -> Known:
        return Known()

    def claim(self, sha256s: Collection[str]) -> Known:
        return Known()


class Others(Alone):
    """Other tasks search each content until it was asked for so often, and then have an answer, or none."""

    def __init__(self, asked: int, answer: CopySearchResult | None = None) -> None:
        super().__init__()
        self.times: dict[str, int] = {}
        self._asked = asked
        self._answer = answer

    def claim(self, sha256s: Collection[str]) -> Known:
        for sha256 in sha256s:
            self.times[sha256] = self.times.get(sha256, 0) + 1
        elsewhere = {sha256 for sha256 in sha256s if self.times[sha256] < self._asked}
        free = set(sha256s) - elsewhere
        return Known(dict.fromkeys(free, self._answer) if self._answer else {}, elsewhere)


@pytest.mark.parametrize(("tasks", "windows"), [(1, [8]), (2, [4, 4]), (3, [3, 3, 2]), (8, [1] * 8), (9, [1] * 9)])
def test_tasks_share_the_window_but_each_has_a_request(tasks: int, windows: list[int]) -> None:
    assert [Share(place, tasks).window(8) for place in range(tasks)] == windows


def test_tasks_share_the_rate_equally() -> None:
    assert sum(Share(place, 3).rate(10.0) for place in range(3)) == pytest.approx(10.0)


class TestElsewhere:
    def test_answer_of_another_task_is_waited_for(self) -> None:
        service, others = FakeService(), Others(3, ANSWER)
        results = list(CopySearch(service, images(20), settings(poll_seconds=0.01), ledger=others))
        assert {result.copy_count for result in results} == {9}
        assert len({result.uri for result in results}) == 20
        assert service.batches == []
        assert set(others.times.values()) == {3}

    def test_what_another_task_gives_up_is_searched_here(self) -> None:
        service = FakeService(lambda uri: found(1))
        results = list(CopySearch(service, images(20), settings(poll_seconds=0.01), ledger=Others(3)))
        assert {result.copy_count for result in results} == {1}
        assert set(service.answered.values()) == {1}

    @pytest.mark.parametrize("limit", [{"max_held_images": 4}, {"max_held_bytes": 1}])
    def test_search_whose_memory_is_full_of_waiting_images_goes_on(self, limit: dict[str, int]) -> None:
        results = list(
            CopySearch(FakeService(), images(20), settings(poll_seconds=0.01, **limit), ledger=Others(3, ANSWER))
        )
        assert len(results) == 20

    def test_waiting_images_hold_up_no_others(self) -> None:
        released = False

        class First(Alone):
            """Another task is searching the content that is asked for first."""

            first = ""

            def claim(self, sha256s: Collection[str]) -> Known:
                self.first = self.first or next(iter(sha256s))
                return Known(elsewhere=() if released else {self.first})

        run = iter(CopySearch(FakeService(), images(50), settings(poll_seconds=0.01), ledger=First()))
        assert len([next(run) for _ in range(49)]) == 49
        released = True
        assert len(list(run)) == 1

    def test_waiting_uses_no_cpu(self) -> None:
        started = time.process_time()
        run = CopySearch(FakeService(), images(20), settings(poll_seconds=0.1), ledger=Others(4, ANSWER))
        assert len(list(run)) == 20
        assert time.process_time() - started < 0.15


def test_slow_ledger_keeps_no_result_back() -> None:
    """Other tasks may be waiting for it."""

    class Slow(Others):
        """Looking takes longer than the time to the next look."""

        def known(self, sha256s: Collection[str]) -> Known:
            time.sleep(0.005)
            return Known(elsewhere={sha256 for sha256 in sha256s if sha256 in self.times})

        def claim(self, sha256s: Collection[str]) -> Known:
            known = super().claim(sha256s)
            return Known(elsewhere={sha256 for sha256 in known.elsewhere if int(sha256, 16) % 2})

    run = iter(CopySearch(FakeService(), images(100), settings(poll_seconds=0.001), ledger=Slow(2)))
    assert len([next(run) for _ in range(30)]) == 30


def test_no_more_is_claimed_than_is_sent_next() -> None:
    """Other tasks can search the rest meanwhile."""
    claimed: list[int] = []

    class Counting(Alone):
        def claim(self, sha256s: Collection[str]) -> Known:
            claimed.append(len(sha256s))
            return Known()

    service = FakeService(latency=0.02)
    assert len(list(CopySearch(service, images(100), settings(max_concurrent_requests=1), ledger=Counting()))) == 100
    assert claimed == [8] * 12 + [4]


def test_search_follows_its_share() -> None:
    ledger, service = Alone(Share(0, 4)), FakeService(latency=0.002)
    run = iter(CopySearch(service, images(400), settings(max_concurrent_requests=8), ledger=ledger))
    next(run)
    assert service.most_in_flight <= 2
    ledger.share = Share()
    assert len(list(run)) == 399
    assert 2 < service.most_in_flight <= 8
