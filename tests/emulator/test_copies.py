from __future__ import annotations

import runpy
from io import BytesIO
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.emulator.copies import (
    MAX_DISTANCE,
    CopyIndex,
    TooManyPixelsError,
    UndecodableError,
    distance,
    fingerprint,
)

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "copies.py"
PHOTOS = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "gravel.png"),
    *("hubble_deep_field.jpg", "moon.png", "motorcycle_left.png", "page.png", "rocket.jpg"),
)


@pytest.mark.integration
def test_altered_copies_are_found_and_no_other_photo_is() -> None:
    figures = runpy.run_path(str(BENCHMARK))["measure"](PHOTOS)
    assert len(figures.copies) == 17
    assert all(figures.copies.values())
    missed = {alteration: max(row) for alteration, row in figures.copies.items() if max(row) > MAX_DISTANCE}
    assert missed == {}
    assert len(figures.unrelated) == 12 * 24 * 11
    assert min(figures.unrelated) > MAX_DISTANCE


def test_original_is_found_by_its_crop(cat: bytes) -> None:
    from PIL import Image

    with Image.open(BytesIO(cat)) as image:
        width, height = image.size
        file = BytesIO()
        image.crop((0, 0, round(width * 0.9), round(height * 0.9))).save(file, "PNG")
    assert CopyIndex([("crop", fingerprint(file.getvalue()))]).search(fingerprint(cat)) == ["crop"]


def test_distance_to_itself_is_zero(cat: bytes) -> None:
    assert distance(fingerprint(cat), fingerprint(cat)) == 0


def test_nearest_comes_first_and_ties_keep_their_order() -> None:
    index = CopyIndex([("far", (0b111,)), ("one", (0b1,)), ("other", (0b10,)), ("unrelated", ((1 << 256) - 1,))])
    assert index.search((0,)) == ["one", "other", "far"]


def test_distance_limit_is_inclusive() -> None:
    at_limit, beyond = (1 << MAX_DISTANCE) - 1, (1 << MAX_DISTANCE + 1) - 1
    assert CopyIndex([("at", (at_limit,)), ("beyond", (beyond,))]).search((0,)) == ["at"]


@pytest.mark.parametrize("content", [b"", b"Not an image.", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_bytes_that_are_not_an_image_are_undecodable(content: bytes) -> None:
    with pytest.raises(UndecodableError):
        fingerprint(content)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_truncated_jpeg_is_undecodable(rocket: bytes, kept: float) -> None:
    with pytest.raises(UndecodableError):
        fingerprint(rocket[: int(len(rocket) * kept)])


def test_format_that_is_not_accepted_is_undecodable(cat: bytes) -> None:
    with pytest.raises(UndecodableError):
        fingerprint(cat, formats=("JPEG",))


def test_pixel_limit_is_checked_before_decoding(rocket: bytes) -> None:
    fingerprint(rocket, max_pixels=427 * 640)
    with pytest.raises(TooManyPixelsError, match="640 x 427 pixels"):
        fingerprint(rocket[:20_000], max_pixels=427 * 640 - 1)
