"""What becomes of a batch: refused, failed, throttled, answered for some of its images only."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.search.pacing import Backoff
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.vision import CopySearchResult, Image, PreparedImage
from airflow_provider_yandex_vision.vision.errors import (
    AccessError,
    AuthenticationError,
    CopySearchOffError,
    InvalidRequestError,
    LostReplyError,
    PermissionDeniedError,
    ProtocolError,
    ServiceError,
    ThrottledError,
    UnavailableError,
)
from tests.support.fake_service import NONE, FakeService, consume, eventually, failed, search, search_threads, settings
from tests.support.pictures import images


def copies_after(originals: Iterable[Image], condition: Callable[[], bool]) -> Iterator[Image]:
    """The images, and the same content under other names once the condition holds."""
    for image in (kept := list(originals)):
        yield image
    for image in kept:

        def read(original: Image = image) -> bytes:
            eventually(condition)
            time.sleep(0.05)
            return original.read()

        yield Image(f"{image.uri} again", read, image.size)


class TestPoison:
    @staticmethod
    def refusing(*poison: str) -> FakeService:
        def refuse(uris: list[str]) -> Exception | None:
            return None if set(poison).isdisjoint(uris) else InvalidRequestError("bad image", http_status=400)

        return FakeService(refuse=refuse)

    def test_poisoned_image_among_8_costs_at_most_8_requests(self) -> None:
        service = self.refusing("memory://5")
        results = search(service, images(8))
        assert [uri for uri, result in results.items() if result.status == "rejected"] == ["memory://5"]
        assert results["memory://5"].error_message == "bad image"
        assert len(service.batches) <= 8
        assert service.batches.count(["memory://5"]) == 2

    def test_poisoned_image_among_80_costs_at_most_17_requests(self) -> None:
        service = self.refusing("memory://33")
        results = search(service, images(80))
        assert sum(result.status == "none" for result in results.values()) == 79
        assert len(service.batches) <= 17
        assert set(service.answered.values()) == {1}

    @given(count=st.integers(1, 23), numbers=st.sets(st.integers(0, 22)), window=st.integers(1, 4))
    def test_poisoned_images_cost_only_themselves(self, count: int, numbers: set[int], window: int) -> None:
        poison = {f"memory://{number}" for number in numbers if number < count}
        service = self.refusing(*poison)
        run = CopySearch(service, images(count), settings(max_concurrent_requests=window, linger=60.0))
        watchdog = threading.Timer(5, run.close)
        watchdog.start()
        ended = {result.uri: result.status for result in run}
        watchdog.cancel()
        assert set(ended) == {f"memory://{number}" for number in range(count)}
        for batch in service.batches:
            beside_others = count <= 8 or (len(batch) > 1 and not poison.issuperset(batch))
            at_fault = {"rejected"} if beside_others and len(poison) < count else {"rejected", "failed"}
            assert all(ended[uri] in at_fault if uri in poison else ended[uri] == "none" for uri in batch)
        assert set(service.answered.values()) <= {1}
        assert len(service.batches) <= -(-count // 8) + 12 * len(poison)

    def test_server_error_does_not_split_a_batch(self) -> None:
        errors = iter([UnavailableError("down", http_status=500)])
        service = FakeService(refuse=lambda uris: next(errors, None))
        search(service, images(8))
        assert [len(batch) for batch in service.batches] == [8, 8]

    def test_service_that_refuses_everything_ends_the_search(self) -> None:
        service = FakeService(refuse=lambda uris: InvalidRequestError("unknown field", http_status=400))
        results, error = consume(CopySearch(service, images(5000), settings(max_held_images=100), random=lambda: 0.0))
        assert isinstance(error, InvalidRequestError)
        assert {result.status for result in results} == {"failed"}
        assert len(service.batches) < 500

    def test_outage_that_refuses_everything_for_a_while_rejects_nothing(self) -> None:
        """Also not after answers: they come from before the outage."""
        service = FakeService(refuse=lambda uris: refusal if 8 < len(service.batches) < 150 else None)
        refusal = InvalidRequestError("bad gateway", http_status=400)
        results, _ = consume(CopySearch(service, images(800), settings(), random=lambda: 0.0))
        statuses = Counter(result.status for result in results)
        assert statuses["none"] >= 64
        assert statuses["rejected"] == 0

    def test_outage_that_comes_and_goes_rejects_nothing(self) -> None:
        """Half of the images are answered after the first refusal, then all requests are refused for a while."""
        service = FakeService(refuse=lambda uris: refusal if len(service.batches) in {1, *range(3, 18)} else None)
        refusal = InvalidRequestError("bad gateway", http_status=400)
        results = search(service, images(8), max_concurrent_requests=1)
        assert {result.status for result in results.values()} == {"none"}
        assert set(service.answered.values()) == {1}

    @pytest.mark.parametrize("status", [400, 413])
    def test_refused_image_is_asked_once_more_after_another_is_answered(self, status: int) -> None:
        refusal = InvalidRequestError("no", http_status=status)
        refused = iter([True, False])
        service = FakeService(refuse=lambda uris: refusal if "memory://0" in uris and next(refused, False) else None)
        results = search(service, images(8))
        assert {result.status for result in results.values()} == {"none"}
        assert set(service.answered.values()) == {1}


class TestRetries:
    @pytest.mark.parametrize("error", [UnavailableError("reset"), ThrottledError("slow down", retry_after=0)])
    def test_transient_error_is_retried_until_it_passes(self, error: Exception) -> None:
        errors = iter([error, error, error])
        service = FakeService(refuse=lambda uris: next(errors, None))
        assert {result.status for result in search(service, images(8)).values()} == {"none"}
        assert len(service.batches) == 4

    @pytest.mark.parametrize("error", [ProtocolError("9 results"), LostReplyError("timed out")])
    def test_at_most_two_attempts_may_be_billed(self, error: Exception) -> None:
        """Not even for a duplicate that is read after the first has failed."""
        service = FakeService(refuse=lambda uris: error)
        results = search(service, copies_after(images(8), lambda: len(service.batches) == 2))
        assert {result.status for result in results.values()} == {"failed"}
        assert len(results) == 16
        assert len(service.batches) == 2

    def test_lost_reply_is_asked_for_once_more(self) -> None:
        errors = iter([LostReplyError("timed out")])
        service = FakeService(refuse=lambda uris: next(errors, None))
        assert {result.status for result in search(service, images(8)).values()} == {"none"}

    def test_last_failed_attempt_fails_only_its_batch(self) -> None:
        def refuse(uris: list[str]) -> Exception | None:
            return UnavailableError("boom", http_status=500) if "memory://3" in uris else None

        service = FakeService(refuse=refuse)
        results = search(service, images(80))
        lost = {uri for uri, result in results.items() if result.status == "failed"}
        assert len(lost) == 8
        assert "memory://3" in lost
        assert results["memory://3"].error_code == "HTTP_500"
        assert sum("memory://3" in batch for batch in service.batches) == 6

    def test_image_that_fails_in_a_good_reply_is_sent_again_alone(self) -> None:
        errors = iter([failed("INTERNAL"), failed("UNAVAILABLE")])
        service = FakeService(lambda uri: next(errors, NONE) if uri == "memory://3" else NONE)
        results = search(service, images(8))
        assert {result.status for result in results.values()} == {"none"}
        assert service.batches[1:] == [["memory://3"], ["memory://3"]]

    def test_quota_exceeded_in_a_good_reply_throttles_everything(self) -> None:
        errors = iter([failed("RESOURCE_EXHAUSTED")] * 3)
        service = FakeService(lambda uri: next(errors, NONE))
        run = CopySearch(service, images(8), settings(), random=lambda: 0.0)
        assert {result.status for result in run} == {"none"}
        assert [len(batch) for batch in service.batches] == [8, 3]
        assert run.counts.throttles == 1

    def test_image_that_keeps_failing_gets_the_service_s_message(self) -> None:
        service = FakeService(lambda uri: failed("INTERNAL", "out of luck") if uri == "memory://3" else NONE)
        results = search(service, images(8))
        assert results["memory://3"].error_message == "out of luck"
        assert len(service.batches) == 6

    def test_broken_parts_of_replies_never_end_the_search(self) -> None:
        """Sent again, these images are alone, and their requests have no answer at all."""
        odd = {f"memory://{number}" for number in range(0, 400, 8)}
        service = FakeService(lambda uri: failed("PROTOCOL") if uri in odd else NONE)
        results = search(service, images(400))
        assert {uri for uri, result in results.items() if result.status == "failed"} == odd
        assert all(sum(uri in batch for batch in service.batches) == 2 for uri in odd)

    def test_endless_throttling_is_bounded_in_time(self) -> None:
        service = FakeService(refuse=lambda uris: ThrottledError("quota of the month", code="RESOURCE_EXHAUSTED"))
        run = CopySearch(service, images(8), settings(max_retry_seconds=0.05), random=lambda: 0.0)
        assert {result.error_code for result in run} == {"RESOURCE_EXHAUSTED"}

    def test_batch_that_waits_for_a_retry_keeps_its_slot(self) -> None:
        errors = iter([UnavailableError("down", retry_after=0.2)])
        service = FakeService(refuse=lambda uris: next(errors, None))
        search(service, images(32), max_concurrent_requests=1)
        assert service.batches[0] == service.batches[1]

    @pytest.mark.parametrize(("http_status", "times_sent"), [(503, 2), (None, 1)])
    def test_bytes_are_counted_with_each_reply(self, http_status: int | None, times_sent: int) -> None:
        plain = CopySearch(FakeService(), images(8), settings())
        assert len(list(plain)) == 8
        errors = iter([UnavailableError("reset", http_status=http_status)])
        retried = CopySearch(FakeService(refuse=lambda uris: next(errors, None)), images(8), settings())
        assert len(list(retried)) == 8
        assert retried.counts.requests == 2
        assert retried.counts.bytes_sent == times_sent * plain.counts.bytes_sent > 0


class TestGivingUp:
    def test_access_denied_ends_the_search_at_once(self) -> None:
        service = FakeService(refuse=lambda uris: AuthenticationError("no such key", http_status=401))
        with pytest.raises(AuthenticationError, match="no such key"):
            search(service, images(10_000), max_concurrent_requests=2)
        assert len(service.batches) <= 2
        assert not search_threads()

    def test_results_in_flight_are_delivered_before_the_error(self) -> None:
        both_sent = threading.Barrier(2, timeout=10)

        class OneRefused(FakeService):
            def batch_analyze(self, images: Sequence[PreparedImage]) -> list[CopySearchResult]:
                both_sent.wait()
                if images[0].uri == "memory://0":
                    raise AuthenticationError("revoked")
                time.sleep(0.1)
                return super().batch_analyze(images)

        one_by_one = settings(max_concurrent_requests=2, max_concurrent_reads=1)
        results, error = consume(CopySearch(OneRefused(), images(16), one_by_one))
        assert isinstance(error, AuthenticationError)
        assert len(results) == 8

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("UNAUTHENTICATED", AuthenticationError),
            ("PERMISSION_DENIED", PermissionDeniedError),
            ("UNIMPLEMENTED", CopySearchOffError),
        ],
    )
    def test_access_denied_inside_results_ends_the_search_at_once(self, code: str, kind: type[Exception]) -> None:
        service = FakeService(lambda uri: failed(code, "no such key"))
        with pytest.raises(kind, match="no such key"):
            search(service, images(10_000), max_concurrent_requests=2)
        assert len(service.batches) <= 2

    @pytest.mark.parametrize("kind", [AuthenticationError, PermissionDeniedError, CopySearchOffError, AccessError])
    def test_access_denied_may_pass_once_the_service_has_answered(self, kind: type[AccessError]) -> None:
        service = FakeService(refuse=lambda uris: kind("stray") if len(service.batches) == 3 else None)
        results = search(service, images(80), max_concurrent_requests=1)
        assert {result.status for result in results.values()} == {"none"}

    def test_access_that_is_withdrawn_ends_the_search(self) -> None:
        service = FakeService(refuse=lambda uris: AuthenticationError("revoked") if len(service.batches) > 4 else None)
        with pytest.raises(AuthenticationError, match="revoked"):
            search(service, images(10_000))
        assert len(service.batches) < 100

    @pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "INTERNAL", "NOT_FOUND"])
    def test_replies_without_one_answer_end_the_search_as_an_outage_does(self, code: str) -> None:
        service = FakeService(lambda uri: failed(code, "quota of the month"))
        run = CopySearch(service, images(10_000), settings(max_retry_seconds=0.05), random=lambda: 0.0)
        results, error = consume(run)
        assert isinstance(error, ServiceError)
        assert (error.code, error.message) == (code, "quota of the month")
        assert len(results) < 300

    def test_images_that_always_fail_end_no_search_though_they_fill_requests(self) -> None:
        service = FakeService(lambda uri: failed("DATA_LOSS") if int(uri.rpartition("/")[2]) < 100 else NONE)
        results = search(service, images(200), max_concurrent_requests=1)
        assert Counter(result.status for result in results.values()) == {"failed": 100, "none": 100}

    def test_batch_without_one_answer_keeps_its_slot(self) -> None:
        codes = iter(["INTERNAL"] * 8)
        service = FakeService(lambda uri: failed(code) if (code := next(codes, None)) else NONE)
        search(service, images(32), max_concurrent_requests=1, backoff=Backoff(base=0.2, random=lambda: 1.0))
        assert service.batches[0] == service.batches[1]

    def test_service_that_is_down_ends_the_search(self) -> None:
        service = FakeService(refuse=lambda uris: UnavailableError("connection refused"))
        with pytest.raises(UnavailableError, match="connection refused"):
            search(service, images(10_000), max_concurrent_requests=2)
        assert not search_threads()

    @pytest.mark.parametrize("crash", [SystemExit(1), KeyboardInterrupt(), RuntimeError("a bug")])
    def test_unforeseen_error_of_a_request_ends_the_search(self, crash: BaseException) -> None:
        class Crashing(FakeService):
            def batch_analyze(self, images: Sequence[PreparedImage]) -> list[CopySearchResult]:
                raise crash

        with pytest.raises(type(crash)) as caught:
            search(Crashing(), images(100))
        assert caught.value is crash
        assert not search_threads()

    def test_one_warning_speaks_for_all_during_an_outage(self, caplog: pytest.LogCaptureFixture) -> None:
        service = FakeService(refuse=lambda uris: UnavailableError("connection refused"))
        with pytest.raises(UnavailableError):
            search(service, images(1000))
        assert sum("connection refused" in record.message for record in caplog.records) == 1
