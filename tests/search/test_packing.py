from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.search.prepare import PreparedImage, Limits, prepare_image
from airflow_provider_yandex_vision.vision.models import RequestBody
from airflow_provider_yandex_vision.search.packing import Batch, Packer
from tests.support.pictures import image, png


def checked(size: int, number: int = 0) -> PreparedImage:
    return prepare_image(image(f"memory://{number}", png(number, size=size)), Limits())


def pack(sizes: list[int], max_request_bytes: int) -> Iterator[Batch]:
    packer = Packer(max_request_bytes)
    for number, size in enumerate(sizes):
        packer.add(checked(size, number))
        yield from iter(packer.take, None)
    yield from iter(lambda: packer.take(partial=True), None)


@given(st.lists(st.integers(50, 3000), max_size=40), st.integers(4500, 20_000))
def test_every_image_is_in_one_request_in_order_and_every_request_is_within_the_limits(
    sizes: list[int], max_request_bytes: int
) -> None:
    batches = list(pack(sizes, max_request_bytes))
    assert [image.image.uri for image in chain(*batches)] == [f"memory://{number}" for number in range(len(sizes))]
    for batch in batches:
        assert 1 <= len(batch) <= 8
        assert len(RequestBody([image.spec for image in batch], "f" * 50)) <= max_request_bytes


STEPS = st.integers(50, 3000) | st.sampled_from(["take", "take what there is", "halve"])


@given(st.lists(STEPS, min_size=20, max_size=80), st.integers(0, 10_000))
def test_nothing_is_lost_doubled_or_out_of_turn_while_refused_requests_come_back_in_halves(
    steps: list[int | str], max_request_bytes: int
) -> None:
    packer = Packer(max_request_bytes)
    added: list[PreparedImage] = []
    packed: list[PreparedImage] = []
    halves: list[Batch] = []
    batch: Batch | None = None
    for step in [*steps, *["take what there is"] * len(steps)]:
        if isinstance(step, int):
            added.append(checked(step, len(added)))
            packer.add(added[-1])
        elif step == "halve" and batch and len(batch) > 1:
            halves[:0] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
            packer.add_batches(*halves[:2])
            batch = None
        elif batch := packer.take(partial=step == "take what there is"):
            assert 1 <= len(batch) <= 8
            assert len(batch) == 1 or len(RequestBody([each.spec for each in batch], "f" * 50)) <= max_request_bytes
            if halves:
                assert batch == halves.pop(0)
            else:
                packed += batch
    assert packed == added
    assert not halves


def test_small_images_fill_requests() -> None:
    assert [len(batch) for batch in pack([100] * 20, 20_000_000)] == [8, 8, 4]


def test_large_images_take_the_requests_they_need() -> None:
    assert [len(batch) for batch in pack([3000] * 5, 9000)] == [2, 2, 1]


def test_an_image_over_the_limit_goes_alone_rather_than_never() -> None:
    assert [len(batch) for batch in pack([9000, 100, 9000], 5000)] == [1, 1, 1]


@pytest.mark.parametrize(("added", "left"), [(0, 0), (3, 3), (8, 0), (10, 2)])
def test_a_batch_is_handed_out_when_it_is_full_or_asked_for(added: int, left: int) -> None:
    packer = Packer(20_000_000)
    for number in range(added):
        packer.add(checked(100, number))
    assert len(packer) == left
    full = list(iter(packer.take, None))
    assert [len(batch) for batch in full] == [8] * (added // 8)
    rest = packer.take(partial=True)
    assert len(rest or ()) == left
    assert packer.take(partial=True) is None


def test_a_batch_goes_on_filling_while_a_full_one_waits() -> None:
    packer = Packer(20_000_000)
    for number in range(10):
        packer.add(checked(100, number))
    assert len(packer.take(partial=True) or ()) == 8
    assert len(packer) == 2


def test_batches_that_were_put_back_go_next_in_their_order_and_are_not_filled_up() -> None:
    packer = Packer(1_000_000)
    images = [checked(100, number) for number in range(11)]
    for full in images[:8]:
        packer.add(full)
    packer.add_batches(images[8:9], images[9:])
    assert [packer.take() for _ in range(4)] == [images[8:9], images[9:], images[:8], None]
