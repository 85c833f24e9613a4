from __future__ import annotations

import pytest

from airflow_provider_yandex_vision.search.pacing import Backoff
from airflow_provider_yandex_vision.search.retries import Retries
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.errors import (
    LostReplyError,
    ProtocolError,
    ServiceError,
    ThrottledError,
    UnavailableError,
)
from airflow_provider_yandex_vision.vision.models import PreparedImage


def prepared(number: int = 0) -> PreparedImage:
    return PreparedImage(f"memory://{number}", b"part", f"{number:064}", 4, "image/png", None)


class Time:
    now = 1000.0

    def clock(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def retries(time: Time) -> Retries:
    backoff = Backoff(base=1.0, cap=30.0, random=lambda: 1.0)
    return Retries(Settings(max_attempts=4, max_retry_seconds=60, max_retry_after=20, backoff=backoff), time.clock)


def test_image_is_retried_until_its_attempts_are_used_up(retries: Retries) -> None:
    assert [retries.count(prepared(), UnavailableError) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("fault", [LostReplyError, ProtocolError])
def test_two_attempts_may_be_billed(retries: Retries, fault: type[ServiceError]) -> None:
    assert [retries.count(prepared(), fault) for _ in range(2)] == [True, False]
    assert retries.is_spent(prepared())
    assert not retries.is_spent(prepared(1))


def test_attempts_that_cost_nothing_leave_two_that_do(retries: Retries) -> None:
    faults = [UnavailableError, LostReplyError, ThrottledError, ProtocolError]
    assert [retries.count(prepared(), fault) for fault in faults] == [True, True, True, False]


def test_being_throttled_uses_up_no_attempt(retries: Retries, time: Time) -> None:
    assert all(retries.count(prepared(), ThrottledError) for _ in range(100))
    assert retries.add(retries.whole, [prepared()], ThrottledError) == 0.0
    time.now += 60
    assert not retries.count(prepared(), ThrottledError)


def test_delay_grows_with_the_attempts(retries: Retries) -> None:
    delays = []
    for _ in range(2):
        retries.count(prepared(), UnavailableError)
        delays.append(retries.add(retries.parts, [prepared()], UnavailableError))
    assert delays == [1.0, 2.0]


@pytest.mark.parametrize(("asked", "delay"), [(None, 1.0), (0.5, 1.0), (7.0, 7.0), (36_000.0, 20.0)])
def test_retry_after_is_honoured_up_to_a_cap(retries: Retries, asked: float | None, delay: float) -> None:
    retries.count(prepared(), UnavailableError)
    assert retries.add(retries.whole, [prepared()], UnavailableError, asked) == delay


def test_image_with_a_result_starts_anew(retries: Retries) -> None:
    for _ in range(2):
        retries.count(prepared(), LostReplyError)
    retries.forget(prepared())
    assert retries.count(prepared(), LostReplyError)
