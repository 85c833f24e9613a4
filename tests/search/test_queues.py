from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.search.queues import Batch, DelayQueue, Packer
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
