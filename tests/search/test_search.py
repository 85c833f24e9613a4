from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.vision import (
    AuthenticationError,
    ConfigurationError,
    CopySearch,
    CopySearchResult,
    Image,
    InvalidRequestError,
    Limits,
    ProtocolError,
    RetryPolicy,
    Settings,
    ThrottledError,
    UnavailableError,
)
from airflow_provider_yandex_vision.search.prepare import PreparedImage
from airflow_provider_yandex_vision.vision.errors import SearchStoppedError
from airflow_provider_yandex_vision.vision.models import Answer
from airflow_provider_yandex_vision.search.pacing import Backoff
from tests.support.pictures import image, images, png

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
NONE = Answer("none", 0)
AT_ONCE = RetryPolicy(backoff=Backoff(base=0))


class FakeService:
    """Stands where the client does. It answers each image by ``answer``, after ``refuse`` let the batch in."""

    def __init__(
        self,
        answer: Callable[[str], Answer] = lambda uri: NONE,
        refuse: Callable[[list[str]], Exception | None] = lambda uris: None,
        latency: float = 0.0,
    ) -> None:
        self._answer = answer
        self._refuse = refuse
        self._latency = latency
        self._lock = threading.Lock()
        self._aborted = threading.Event()
        self.batches: list[list[str]] = []
        self.answered: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0

    def batch_analyze(self, batch: Sequence[PreparedImage]) -> list[CopySearchResult]:
        uris = [image.image.uri for image in batch]
        with self._lock:
            self.batches.append(uris)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self._latency and self._aborted.wait(self._latency):
                raise UnavailableError("aborted")
            with self._lock:
                error = self._refuse(uris)
                if error:
                    raise error
                results = [image.result(self._answer(image.image.uri), NOW) for image in batch]
                self.answered.update(image.sha256 for image in batch)
                return results
        finally:
            with self._lock:
                self.under_way -= 1

    def abort(self) -> None:
        self._aborted.set()


def settings(rate: float = 100_000, window: int = 4, retries: RetryPolicy = AT_ONCE, **more: object) -> Settings:
    return Settings(requests_per_second=rate, max_concurrent_requests=window, retries=retries, **more)  # type: ignore[arg-type]


def search(service: FakeService, pictures: Iterable[Image], **more: object) -> dict[str, CopySearchResult]:
    results = list(CopySearch(service, pictures, settings(**more)))  # type: ignore[arg-type]
    assert len({result.uri for result in results}) == len(results)
    return {result.uri: result for result in results}


def consume(run: CopySearch) -> tuple[list[CopySearchResult], Exception | None]:
    """All results that came, and the error that ended them."""
    results: list[CopySearchResult] = []
    try:
        results.extend(run)
    except Exception as error:
        return results, error
    return results, None


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("vision-")]


def test_every_image_ends_in_exactly_one_result() -> None:
    service = FakeService(lambda uri: Answer("found", 2) if uri.endswith("7") else NONE)
    results = search(service, images(1000))
    assert len(results) == 1000
    assert sum(result.status == "found" for result in results.values()) == 100
    assert not our_threads()


def test_batches_are_full_although_bad_files_and_duplicates_are_among_the_images() -> None:
    def mixed() -> Iterator[Image]:
        for number in range(800):
            yield image(f"memory://good/{number}")
            yield image(f"memory://text/{number}", b"not a picture")
            yield image(f"memory://again/{number}", png(f"memory://good/{number}"))

    service = FakeService()
    results = search(service, mixed(), max_held_images=200)
    assert len(results) == 2400
    assert 100 <= len(service.batches) <= 102
    assert set(service.answered.values()) == {1}


def test_a_short_batch_goes_at_once_at_the_end_of_the_input() -> None:
    started = time.monotonic()
    search(FakeService(), images(3), linger=60.0)
    assert time.monotonic() - started < 5


def test_a_partial_batch_does_not_wait_for_a_slow_input() -> None:
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


def test_batches_stay_full_while_the_rate_is_what_holds_them_up() -> None:
    service = FakeService(latency=0.01)
    search(service, images(400), rate=100, linger=0.1, max_held_images=64)
    assert len(service.batches) <= 52


def test_a_window_bounds_the_requests_under_way() -> None:
    service = FakeService(latency=0.02)
    search(service, images(200), window=3)
    assert service.most_under_way == 3


def test_requests_stay_under_the_byte_limit() -> None:
    pictures = [image(f"memory://{number}", png(number, size=300_000)) for number in range(10)]
    service = FakeService()
    search(service, pictures, limits=Limits(max_request_bytes=1_000_000))
    assert max(map(len, service.batches)) == 2


def test_memory_is_bounded_by_the_window_and_never_by_the_number_of_images() -> None:
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


def test_an_image_larger_than_the_whole_budget_is_searched_all_the_same() -> None:
    pictures = [image(f"memory://{number}", png(number, size=5_000), listed=number % 2 == 0) for number in range(20)]
    assert len(search(FakeService(), pictures, max_held_bytes=1)) == 20


class TestDuplicates:
    def test_identical_bytes_are_searched_once_and_every_uri_gets_the_answer(self) -> None:
        service = FakeService(lambda uri: Answer("found", 5))
        results = search(service, [image(f"memory://{number}", png("same")) for number in range(100)])
        assert {result.copy_count for result in results.values()} == {5}
        assert sum(service.answered.values()) == 1

    def test_a_twin_that_turns_up_while_the_first_is_in_flight_waits_for_it(self) -> None:
        service = FakeService(latency=0.1)
        pictures = [image(f"memory://{number}", png(number // 2)) for number in range(32)]
        assert len(search(service, pictures)) == 32
        assert sum(service.answered.values()) == 16

    def test_a_twin_keeps_its_own_identity(self) -> None:
        first, second = image("memory://a", png("same")), image("memory://b", png("same"))
        second = Image(second.uri, second.read, second.size, "other version")
        results = search(FakeService(), [first, second])
        assert results["memory://a"].etag == "v1"
        assert results["memory://b"].etag == "other version"
        assert results["memory://a"].sha256 == results["memory://b"].sha256

    def test_the_failure_of_the_first_is_not_remembered_as_an_answer(self) -> None:
        failures = iter([Answer("failed", error_code="ABORTED")])
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

    def test_answers_paid_for_earlier_are_not_bought_again(self) -> None:
        asked: list[str] = []

        def known(hashes: Collection[str]) -> dict[str, CopySearchResult]:
            asked.extend(hashes)
            answer = CopySearchResult("memory://elsewhere", "found", 9)
            return {sha256: answer for sha256 in hashes if int(sha256, 16) % 2}

        service = FakeService()
        run = CopySearch(service, images(80), settings(), known=known)
        results = {result.uri: result for result in run}
        from_table = [result for result in results.values() if result.copy_count == 9]
        assert len(results) == len(set(asked)) == 80
        assert run.counts.duplicates == len(from_table) > 20
        assert sum(service.answered.values()) == 80 - len(from_table)

    def test_two_images_of_one_uri_both_get_an_answer(self) -> None:
        results = list(CopySearch(FakeService(), [image("memory://a"), image("memory://a")], settings()))
        assert [result.status for result in results] == ["none", "none"]


class TestPoison:
    @staticmethod
    def refusing(*poison: str) -> FakeService:
        def refuse(uris: list[str]) -> Exception | None:
            return None if set(poison).isdisjoint(uris) else InvalidRequestError("bad image", http_status=400)

        return FakeService(refuse=refuse)

    def test_a_poisoned_image_among_8_costs_itself_and_at_most_7_requests(self) -> None:
        service = self.refusing("memory://5")
        results = search(service, images(8))
        assert [uri for uri, result in results.items() if result.status == "rejected"] == ["memory://5"]
        assert results["memory://5"].error_message == "bad image"
        assert len(service.batches) <= 7

    def test_a_poisoned_image_among_80_costs_itself_and_at_most_16_requests(self) -> None:
        service = self.refusing("memory://33")
        results = search(service, images(80))
        assert sum(result.status == "none" for result in results.values()) == 79
        assert len(service.batches) <= 16
        assert set(service.answered.values()) == {1}

    @given(count=st.integers(1, 24), numbers=st.sets(st.integers(0, 23)), window=st.integers(1, 4))
    def test_any_poisoned_images_cost_themselves_and_at_most_6_requests_each(
        self, count: int, numbers: set[int], window: int
    ) -> None:
        poison = {f"memory://{number}" for number in numbers if number < count}
        service = self.refusing(*poison)
        run = CopySearch(service, images(count), settings(window=window, linger=60.0))
        watchdog = threading.Timer(5, run.close)
        watchdog.start()
        ended = sorted((result.uri, result.status) for result in run)
        watchdog.cancel()
        uris = sorted(f"memory://{number}" for number in range(count))
        assert ended == [(uri, "rejected" if uri in poison else "none") for uri in uris]
        assert set(service.answered.values()) <= {1}
        assert len(service.batches) <= -(-count // 8) + 6 * len(poison)

    def test_a_server_error_does_not_split_a_batch(self) -> None:
        errors = iter([UnavailableError("down", http_status=500)])
        service = FakeService(refuse=lambda uris: next(errors, None))
        search(service, images(8))
        assert [len(batch) for batch in service.batches] == [8, 8]

    def test_a_service_that_refuses_whatever_it_is_sent_ends_the_search(self) -> None:
        service = FakeService(refuse=lambda uris: InvalidRequestError("unknown field", http_status=400))
        with pytest.raises(InvalidRequestError, match="unknown field"):
            search(service, images(5000), max_held_images=100)


class TestRetries:
    @pytest.mark.parametrize(
        "error", [UnavailableError("reset"), ProtocolError("cut short"), ThrottledError("slow down", retry_after=0)]
    )
    def test_what_passes_is_tried_again_until_it_does(self, error: Exception) -> None:
        errors = iter([error, error, error])
        service = FakeService(refuse=lambda uris: next(errors, None))
        assert {result.status for result in search(service, images(8)).values()} == {"none"}
        assert len(service.batches) == 4

    def test_after_the_last_attempt_the_images_of_the_batch_are_failed_and_others_are_not(self) -> None:
        def refuse(uris: list[str]) -> Exception | None:
            return UnavailableError("boom", http_status=500) if "memory://3" in uris else None

        service = FakeService(refuse=refuse)
        results = search(service, images(80))
        failed = {uri for uri, result in results.items() if result.status == "failed"}
        assert len(failed) == 8
        assert "memory://3" in failed
        assert results["memory://3"].error_code == "HTTP_500"
        assert sum("memory://3" in batch for batch in service.batches) == 6

    def test_an_image_alone_in_trouble_is_sent_again_alone(self) -> None:
        troubles = iter([Answer("failed", error_code="INTERNAL"), Answer("failed", error_code="UNAVAILABLE")])
        service = FakeService(lambda uri: next(troubles, NONE) if uri == "memory://3" else NONE)
        results = search(service, images(8))
        assert {result.status for result in results.values()} == {"none"}
        assert service.batches[1:] == [["memory://3"], ["memory://3"]]

    def test_images_over_the_quota_inside_a_good_reply_go_again_and_slow_everybody(self) -> None:
        troubles = iter([Answer("failed", error_code="RESOURCE_EXHAUSTED")] * 3)
        service = FakeService(lambda uri: next(troubles, NONE))
        run = CopySearch(service, images(8), settings(), random=lambda: 0.0)
        assert {result.status for result in run} == {"none"}
        assert [len(batch) for batch in service.batches] == [8, 3]
        assert run.counts.throttles == 1

    def test_an_image_that_never_gets_through_is_failed_with_the_service_s_words(self) -> None:
        trouble = Answer("failed", error_code="INTERNAL", error_message="out of luck")
        service = FakeService(lambda uri: trouble if uri == "memory://3" else NONE)
        results = search(service, images(8))
        assert results["memory://3"].error_message == "out of luck"
        assert len(service.batches) == 6

    def test_time_bounds_throttling_that_does_not_end(self) -> None:
        service = FakeService(refuse=lambda uris: ThrottledError("quota of the month", code="RESOURCE_EXHAUSTED"))
        policy = RetryPolicy(max_seconds=0.05, backoff=Backoff(base=0))
        run = CopySearch(service, images(8), settings(retries=policy), random=lambda: 0.0)
        assert {result.error_code for result in run} == {"RESOURCE_EXHAUSTED"}


class TestGivingUp:
    def test_a_refused_key_ends_the_search_without_another_request(self) -> None:
        service = FakeService(refuse=lambda uris: AuthenticationError("no such key", http_status=401))
        with pytest.raises(AuthenticationError, match="no such key"):
            search(service, images(10_000), window=2)
        assert len(service.batches) <= 2
        assert not our_threads()

    def test_results_under_way_are_delivered_before_the_error(self) -> None:
        both_sent = threading.Barrier(2, timeout=10)

        class OneRefused(FakeService):
            def batch_analyze(self, batch: Sequence[PreparedImage]) -> list[CopySearchResult]:
                both_sent.wait()
                if batch[0].image.uri == "memory://0":
                    raise AuthenticationError("revoked")
                time.sleep(0.1)
                return super().batch_analyze(batch)

        results, error = consume(CopySearch(OneRefused(), images(16), settings(window=2, max_concurrent_reads=1)))
        assert isinstance(error, AuthenticationError)
        assert len(results) == 8

    def test_a_service_that_is_gone_ends_the_search(self) -> None:
        service = FakeService(refuse=lambda uris: UnavailableError("connection refused"))
        with pytest.raises(UnavailableError, match="connection refused"):
            search(service, images(10_000), window=2)
        assert not our_threads()

    def test_in_an_outage_one_warning_speaks_for_all(self, caplog: pytest.LogCaptureFixture) -> None:
        service = FakeService(refuse=lambda uris: UnavailableError("connection refused"))
        with pytest.raises(UnavailableError):
            search(service, images(1000), window=4)
        assert sum("connection refused" in record.message for record in caplog.records) == 1


class TestBadInput:
    def test_an_iterator_that_raises_loses_nothing_that_came_before(self) -> None:
        def broken() -> Iterator[Image]:
            yield from images(20)
            raise OSError("listing broke off")

        results, error = consume(CopySearch(FakeService(), broken(), settings()))
        assert str(error) == "listing broke off"
        assert len(results) == 20

    def test_an_image_that_cannot_be_read_costs_only_itself(self) -> None:
        def gone() -> bytes:
            raise FileNotFoundError("memory://gone")

        def refused() -> bytes:
            raise PermissionError("denied")

        bad = [Image("memory://gone", gone), Image("memory://refused", refused), Image("memory://none", lambda: None)]  # type: ignore[arg-type, return-value]
        results = search(FakeService(), [*images(8), *bad])
        assert {results[picture.uri].status for picture in bad} == {"failed"}
        assert results["memory://gone"].error_code == "GONE"
        assert "denied" in str(results["memory://refused"].error_message)
        assert sum(result.status == "none" for result in results.values()) == 8

    def test_images_of_one_byte_and_of_the_full_limit(self) -> None:
        largest = png("large", size=7_864_320)
        results = search(FakeService(), [image("memory://1", b"x"), image("memory://full", largest)])
        assert results["memory://1"].status == "rejected"
        assert results["memory://full"].status == "none"

    def test_no_images_give_no_results(self) -> None:
        assert search(FakeService(), []) == {}

    @pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": -1}, {"window": 0}, {"max_concurrent_reads": 0}])
    def test_numbers_that_make_no_sense_are_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ConfigurationError, match="must be"):
            settings(**wrong)  # type: ignore[arg-type]


class TestStopping:
    def test_a_closed_iterator_stops_within_two_seconds_without_waiting_for_replies(self) -> None:
        service = FakeService(latency=30)
        run = CopySearch(service, images(1000), settings())
        batches = run.batches(max_seconds=0.05)
        closer = threading.Timer(0.2, run.close)
        closer.start()
        started = time.monotonic()
        with pytest.raises(SearchStoppedError):
            next(batches)
        assert time.monotonic() - started < 2
        assert not our_threads()

    def test_an_exception_in_the_consumer_leaves_no_thread(self) -> None:
        class ConsumerError(Exception):
            pass

        run = CopySearch(FakeService(latency=0.05), images(1000), settings())

        def consume() -> None:
            for _ in run:
                raise ConsumerError

        with pytest.raises(ConsumerError):
            consume()
        run.close()
        assert not our_threads()

    def test_a_consumer_that_stops_stops_the_reading(self) -> None:
        taken = 0

        def counted() -> Iterator[Image]:
            nonlocal taken
            for picture in images(100_000):
                taken += 1
                yield picture

        run = iter(CopySearch(FakeService(), counted(), settings(max_held_images=100)))
        next(run)
        run.close()  # type: ignore[attr-defined]
        assert taken <= 201

    def test_a_pause_of_a_minute_does_not_hold_up_the_stop(self) -> None:
        service = FakeService(refuse=lambda uris: ThrottledError("wait", retry_after=60))
        run = CopySearch(service, images(8), settings())
        threading.Timer(0.2, run.close).start()
        started = time.monotonic()
        with pytest.raises(SearchStoppedError):
            list(run)
        assert time.monotonic() - started < 2
        assert not our_threads()

    def test_a_read_that_never_ends_does_not_hold_up_the_stop(self) -> None:
        release = threading.Event()

        def hang() -> bytes:
            release.wait(30)
            return png("late")

        run = CopySearch(FakeService(), [Image("memory://slow", hang), *images(8)], settings())
        results = iter(run)
        assert [next(results).status for _ in range(8)] == ["none"] * 8
        started = time.monotonic()
        run.close()
        assert time.monotonic() - started < 2
        assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("vision-"))
        release.set()

    def test_an_error_raised_by_a_signal_stops_the_search_like_execution_timeout_does(self) -> None:
        class TaskTimeoutError(Exception):
            pass

        def expire(number: int, frame: object) -> None:
            raise TaskTimeoutError

        before = signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        started = time.monotonic()
        with pytest.raises(TaskTimeoutError):
            list(CopySearch(FakeService(latency=30), images(100), settings()))
        signal.signal(signal.SIGALRM, before)
        assert time.monotonic() - started < 2.3
        assert not our_threads()


class TestBatchesOfResults:
    def test_results_come_in_lists_to_be_stored_together(self) -> None:
        sizes = [len(batch) for batch in CopySearch(FakeService(), images(1000), settings()).batches(max_results=64)]
        assert sum(sizes) == 1000
        assert max(sizes) == 64

    def test_a_result_waits_for_others_at_most_so_long(self) -> None:
        hold = threading.Event()

        def slow() -> Iterator[Image]:
            yield from images(8)
            hold.wait(10)

        batches = CopySearch(FakeService(), slow(), settings()).batches(max_seconds=0.05)
        assert len(next(batches)) == 8
        hold.set()
        assert list(batches) == []


def test_the_end_is_summed_up_for_people(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    search(FakeService(), images(20))
    assert "Done: 20 of 20 images" in caplog.messages[-1]
    assert "3 requests" in caplog.messages[-1]
