from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.search.pacing import Backoff
from airflow_provider_yandex_vision.search.queues import Batch, DelayQueue, Packer, Retries
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.models import PreparedImage
from airflow_provider_yandex_vision.vision.wire import ENVELOPE_BYTES, RequestBody, encode_image

FOLDER_ID = "f" * 50


def prepared(size: int, number: int = 0) -> PreparedImage:
    part = encode_image(b"x" * size, "image/png")
    return PreparedImage(f"memory://{number}", part, f"{number:064}", size, "image/png", None)


def packer_for(max_request_bytes: int) -> Packer:
    return Packer(8, max_request_bytes - ENVELOPE_BYTES)


def body_bytes(batch: Batch) -> int:
    return len(RequestBody([image.part for image in batch], FOLDER_ID))


def pack(sizes: list[int], max_request_bytes: int) -> Iterator[Batch]:
    packer = packer_for(max_request_bytes)
    for number, size in enumerate(sizes):
        packer.add(prepared(size, number))
        yield from iter(packer.take, None)
    yield from iter(lambda: packer.take(partial=True), None)


class TestPacker:
    @given(st.lists(st.integers(50, 3000), max_size=40), st.integers(4500, 20_000))
    def test_images_keep_their_order_and_requests_their_limits(self, sizes: list[int], max_request_bytes: int) -> None:
        batches = list(pack(sizes, max_request_bytes))
        assert [image.uri for image in chain(*batches)] == [f"memory://{number}" for number in range(len(sizes))]
        for batch in batches:
            assert 1 <= len(batch) <= 8
            assert body_bytes(batch) <= max_request_bytes

    def test_small_images_fill_requests(self) -> None:
        assert [len(batch) for batch in pack([100] * 20, 20_000_000)] == [8, 8, 4]

    def test_large_images_take_the_requests_they_need(self) -> None:
        assert [len(batch) for batch in pack([3000] * 5, 9000)] == [2, 2, 1]

    def test_image_over_the_limit_goes_alone(self) -> None:
        assert [len(batch) for batch in pack([9000, 100, 9000], 5000)] == [1, 1, 1]

    @pytest.mark.parametrize(("added", "left"), [(0, 0), (3, 3), (8, 0), (10, 2)])
    def test_partial_batch_is_taken_only_on_demand(self, added: int, left: int) -> None:
        packer = packer_for(20_000_000)
        for number in range(added):
            packer.add(prepared(100, number))
        assert len(packer) == left
        full = list(iter(packer.take, None))
        assert [len(batch) for batch in full] == [8] * (added // 8)
        rest = packer.take(partial=True)
        assert len(rest or ()) == left
        assert packer.take(partial=True) is None

    def test_open_batch_keeps_filling_while_a_full_one_waits(self) -> None:
        packer = packer_for(20_000_000)
        for number in range(10):
            packer.add(prepared(100, number))
        assert len(packer.take(partial=True) or ()) == 8
        assert len(packer) == 2


class Time:
    now = 1000.0

    def clock(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def test_batches_are_popped_when_due_and_in_order(time: Time) -> None:
    queue = DelayQueue(time.clock)
    late, early, also_early = ([prepared(1, number)] for number in range(3))
    for batch, delay in [(late, 5.0), (early, 1.0), (also_early, 1.0)]:
        queue.add(batch, delay)
    assert queue.pop_due() is None
    assert queue.next_due == 1001.0
    time.now += 1
    assert [queue.pop_due() for _ in range(3)] == [early, also_early, None]
    assert len(queue) == 1


class TestRetries:
    @pytest.fixture
    def retries(self, time: Time) -> Retries:
        backoff = Backoff(base=1.0, cap=30.0, random=lambda: 1.0)
        return Retries(Settings(max_attempts=3, max_retry_seconds=60, max_retry_after=20, backoff=backoff), time.clock)

    def test_image_is_retried_until_its_attempts_are_used_up(self, retries: Retries) -> None:
        batch = [prepared(100)]
        given_up = [retries.add(retries.parts, batch, throttled=False)[0] for _ in range(3)]
        assert given_up == [[], [], batch]

    def test_being_throttled_uses_up_no_attempt(self, retries: Retries, time: Time) -> None:
        batch = [prepared(100)]
        assert all(retries.add(retries.whole, batch, throttled=True) == ([], 0.0) for _ in range(100))
        time.now += 60
        assert retries.add(retries.whole, batch, throttled=True)[0] == batch

    def test_delay_grows_with_the_attempts(self, retries: Retries) -> None:
        delays = [retries.add(retries.whole, [prepared(100)], throttled=False)[1] for _ in range(2)]
        assert delays == [1.0, 2.0]

    @pytest.mark.parametrize(("asked", "delay"), [(0.5, 1.0), (7.0, 7.0), (36_000.0, 20.0)])
    def test_retry_after_is_honoured_up_to_a_cap(self, retries: Retries, asked: float, delay: float) -> None:
        assert retries.add(retries.whole, [prepared(100)], throttled=False, retry_after=asked) == ([], delay)

    def test_images_of_a_batch_give_up_one_by_one(self, retries: Retries, time: Time) -> None:
        tired, fresh = prepared(100, 1), prepared(100, 2)
        for _ in range(2):
            retries.add(retries.parts, [tired], throttled=False)
        given_up, _ = retries.add(retries.whole, [tired, fresh], throttled=False)
        assert given_up == [tired]
        time.now += 60
        assert retries.whole.pop_due() == [fresh]

    def test_image_with_a_result_starts_anew(self, retries: Retries) -> None:
        for _ in range(2):
            retries.add(retries.parts, [prepared(100)], throttled=False)
        retries.forget(prepared(100))
        assert retries.add(retries.parts, [prepared(100)], throttled=False)[0] == []
