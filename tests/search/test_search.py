from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from airflow_provider_yandex_vision.search.ledger import Known, Share
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.vision import CopySearchResult, Image
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from tests.support.fake_service import (
    NONE,
    FakeService,
    consume,
    failed,
    found,
    search,
    search_threads,
    settings,
)
from tests.support.pictures import image, images, png


def test_every_image_ends_in_exactly_one_result() -> None:
    service = FakeService(lambda uri: found(2) if uri.endswith("7") else NONE)
    results = search(service, images(1000))
    assert len(results) == 1000
    assert sum(result.status == "found" for result in results.values()) == 100
    assert not search_threads()


def test_no_images_give_no_results() -> None:
    assert search(FakeService(), []) == {}


class TestBatching:
    def test_bad_files_and_duplicates_leave_batches_full(self) -> None:
        def mixed() -> Iterator[Image]:
            for number in range(800):
                yield image(f"memory://good/{number}")
                yield image(f"memory://text/{number}", b"not an image")
                yield image(f"memory://again/{number}", png(f"memory://good/{number}"))

        service = FakeService()
        results = search(service, mixed(), max_held_images=200)
        assert len(results) == 2400
        assert 100 <= len(service.batches) <= 102
        assert set(service.answered.values()) == {1}

    def test_last_batch_is_sent_at_once(self) -> None:
        started = time.monotonic()
        search(FakeService(), images(3), linger=60.0)
        assert time.monotonic() - started < 5

    def test_partial_batch_does_not_wait_for_slow_listing(self) -> None:
        go_on = threading.Event()

        def slow() -> Iterator[Image]:
            yield image("memory://first")
            assert go_on.wait(10)
            yield image("memory://second")

        run = CopySearch(FakeService(), slow(), settings(linger=0.01))
        results = iter(run)
        assert next(results).uri == "memory://first"
        go_on.set()
        assert next(results).uri == "memory://second"

    def test_batches_stay_full_while_the_rate_is_the_limit(self) -> None:
        service = FakeService(latency=0.01)
        search(service, images(400), requests_per_second=100, linger=0.1, max_held_images=64)
        assert len(service.batches) <= 52

    def test_waiting_for_a_free_slot_uses_no_cpu(self) -> None:
        service = FakeService(latency=0.3)
        started = time.process_time()
        search(service, [*images(8), *images(range(100, 103))], max_concurrent_requests=1, linger=0.01)
        assert time.process_time() - started < 0.15

    def test_window_bounds_the_requests_in_flight(self) -> None:
        service = FakeService(latency=0.02)
        search(service, images(200), max_concurrent_requests=3)
        assert service.most_in_flight == 3

    def test_requests_stay_below_the_byte_limit(self) -> None:
        large = [image(f"memory://{number}", png(number, size=300_000)) for number in range(10)]
        service = FakeService()
        search(service, large, max_request_bytes=1_000_000)
        assert max(map(len, service.batches)) == 2

    def test_service_decides_how_many_images_fill_a_request(self) -> None:
        service = FakeService()
        service.max_images_per_request = 3
        search(service, images(9))
        assert [len(batch) for batch in service.batches] == [3, 3, 3]


class TestMemory:
    def test_is_bounded_whatever_the_number_of_images(self) -> None:
        held = most = 0
        lock = threading.Lock()

        def many() -> Iterator[Image]:
            nonlocal held, most
            for number in range(2000):
                with lock:
                    held += 1
                    most = max(most, held)
                yield image(f"memory://{number}", png(number, size=10_000))

        for result in CopySearch(FakeService(), many(), settings(max_held_bytes=1_000_000)):
            assert result
            with lock:
                held -= 1
        in_memory, read_but_not_consumed = 100, 4 * 8
        assert most <= in_memory + read_but_not_consumed + 2

    def test_images_over_the_limit_reserve_no_memory_and_split_no_request(self) -> None:
        service = FakeService()

        def half_of_them_huge() -> Iterator[Image]:
            for number in range(160):
                yield image(f"memory://{number}")
                yield Image(f"memory://huge/{number}", bytes, 50_000_000)

        results = search(service, half_of_them_huge())
        assert Counter(result.status for result in results.values()) == {"none": 160, "rejected": 160}
        assert len(service.batches) <= 22

    @pytest.mark.parametrize("limit", [{"max_held_bytes": 1}, {"max_held_images": 1}])
    def test_one_image_always_fits(self, limit: dict[str, int]) -> None:
        large = [image(f"memory://{number}", png(number, size=5_000), listed=number % 2 == 0) for number in range(20)]
        assert len(search(FakeService(), large, **limit)) == 20


class TestDuplicates:
    def test_identical_bytes_are_searched_once(self) -> None:
        service = FakeService(lambda uri: found(5))
        results = search(service, [image(f"memory://{number}", png("same")) for number in range(100)])
        assert len(results) == 100
        assert {result.copy_count for result in results.values()} == {5}
        assert sum(service.answered.values()) == 1

    def test_duplicate_of_an_image_in_flight_waits_for_it(self) -> None:
        service = FakeService(latency=0.1)
        twice = [image(f"memory://{number}", png(number // 2)) for number in range(32)]
        assert len(search(service, twice)) == 32
        assert sum(service.answered.values()) == 16

    def test_duplicate_keeps_its_own_identity(self) -> None:
        first, second = image("memory://a", png("same")), image("memory://b", png("same"))
        second = Image(second.uri, second.read, second.size, "other version")
        results = search(FakeService(), [first, second])
        assert results["memory://a"].etag == "v1"
        assert results["memory://b"].etag == "other version"
        assert results["memory://a"].sha256 == results["memory://b"].sha256

    def test_failure_is_not_remembered_as_an_answer(self) -> None:
        failures = iter([failed("ABORTED")])
        go_on = threading.Event()

        def one_after_the_other() -> Iterator[Image]:
            yield image("memory://a", png("same"))
            assert go_on.wait(10)
            yield image("memory://b", png("same"))

        service = FakeService(lambda uri: next(failures, NONE))
        run = iter(CopySearch(service, one_after_the_other(), settings(linger=0.0)))
        assert next(run).status == "failed"
        go_on.set()
        assert next(run).status == "none"

    def test_known_answers_are_not_paid_for_again(self) -> None:
        asked: list[str] = []

        class Ledger:
            share = Share()

            def known(self, sha256s: Collection[str]) -> Known:
                asked.extend(sha256s)
                answer = CopySearchResult("memory://elsewhere", "found", 9)
                return Known({sha256: answer for sha256 in sha256s if int(sha256, 16) % 2})

            def claim(self, sha256s: Collection[str]) -> Known:
                return Known()

        service = FakeService()
        run = CopySearch(service, images(80), settings(), ledger=Ledger())
        results = {result.uri: result for result in run}
        from_table = [result for result in results.values() if result.copy_count == 9]
        assert len(results) == len(set(asked)) == 80
        assert run.counts.duplicates == len(from_table) > 20
        assert sum(service.answered.values()) == 80 - len(from_table)

    def test_images_with_one_uri_all_get_an_answer(self) -> None:
        results = list(CopySearch(FakeService(), [image("memory://a"), image("memory://a")], settings()))
        assert [result.status for result in results] == ["none", "none"]


class TestBadInput:
    def test_listing_that_fails_loses_no_image_listed_before(self) -> None:
        def broken() -> Iterator[Image]:
            yield from images(20)
            raise OSError("listing failed")

        results, error = consume(CopySearch(FakeService(), broken(), settings()))
        assert str(error) == "listing failed"
        assert len(results) == 20

    def test_unreadable_image_costs_only_itself(self) -> None:
        def gone() -> bytes:
            raise FileNotFoundError("memory://gone")

        def denied() -> bytes:
            raise PermissionError("denied")

        def nothing() -> Any:
            return None

        bad = [Image("memory://gone", gone), Image("memory://denied", denied), Image("memory://none", nothing)]
        results = search(FakeService(), [*images(8), *bad])
        assert {results[each.uri].status for each in bad} == {"failed"}
        assert results["memory://gone"].error_code == "GONE"
        assert "denied" in str(results["memory://denied"].error_message)
        assert sum(result.status == "none" for result in results.values()) == 8

    def test_sizes_from_one_byte_to_the_limit_are_handled(self) -> None:
        largest = png("large", size=7_864_320)
        results = search(FakeService(), [image("memory://1", b"x"), image("memory://full", largest)])
        assert results["memory://1"].status == "rejected"
        assert results["memory://full"].status == "none"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("requests_per_second", 0),
            ("requests_per_second", -1),
            ("requests_per_second", float("nan")),
            ("max_concurrent_requests", 0),
            ("max_concurrent_reads", 0),
            ("max_held_images", 0),
            ("max_held_bytes", 0),
        ],
    )
    def test_senseless_setting_is_refused(self, name: str, value: float) -> None:
        with pytest.raises(ConfigurationError, match=f"{name} must be"):
            settings(**{name: value})


class TestBatchesOfResults:
    def test_results_come_in_lists_to_be_stored_together(self) -> None:
        sizes = [len(batch) for batch in CopySearch(FakeService(), images(1000), settings()).batches(max_results=64)]
        assert sum(sizes) == 1000
        assert max(sizes) == 64

    def test_result_waits_for_others_no_longer_than_allowed(self) -> None:
        hold = threading.Event()

        def slow() -> Iterator[Image]:
            yield from images(8)
            hold.wait(10)

        batches = CopySearch(FakeService(), slow(), settings()).batches(max_seconds=0.05)
        assert len(next(batches)) == 8
        hold.set()
        assert list(batches) == []


def test_last_log_line_sums_up_the_search(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    search(FakeService(), images(20))
    assert "Done: 20 of 20 images" in caplog.messages[-1]
    assert "3 requests" in caplog.messages[-1]
