from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_yandex_vision.search import defaults
from airflow_provider_yandex_vision.search.defaults import MAX_CONVERTED_BYTES
from airflow_provider_yandex_vision.search.prepare import prepare_image, result_of_error
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.errors import ImageError, ImageRejectedError, ImageUnreadableError
from airflow_provider_yandex_vision.vision.models import Content, Image, PreparedImage
from airflow_provider_yandex_vision.vision.wire import RequestBody
from tests.support.fake_service import FakeService
from tests.support.pictures import image, png

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
GIF = b"GIF89a" + bytes(20)


def jpeg(width: int = 4, height: int = 3) -> bytes:
    """The start of a JPEG file, up to the segment with its size."""
    return b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00" + b"\xff\xd9"


def prepare(image: Image, **settings: Any) -> PreparedImage:
    return prepare_image(image, FakeService(), Settings(**settings))


def rejection(content: bytes, **settings: int) -> ImageRejectedError:
    with pytest.raises(ImageRejectedError) as caught:
        prepare(image("memory://a", content), **settings)
    return caught.value


def unreadable(read: Callable[[], bytes]) -> ImageUnreadableError:
    with pytest.raises(ImageUnreadableError) as caught:
        prepare(Image("memory://a", read, 10))
    return caught.value


def raising(error: Exception) -> Callable[[], bytes]:
    def read() -> bytes:
        raise error

    return read


@pytest.mark.parametrize(("content", "mime_type"), [(jpeg(), "image/jpeg"), (png("a"), "image/png")])
def test_mime_type_follows_the_bytes_not_the_name(content: bytes, mime_type: str) -> None:
    prepared = prepare(image("memory://photo.gif", content))
    assert prepared.mime_type == mime_type
    assert json.loads(b"".join(RequestBody([prepared.part])))["analyzeSpecs"][0]["mimeType"] == mime_type


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "EMPTY"),
        (b"<html>not found</html>", "NOT_AN_IMAGE"),
        (b"\x89PN", "NOT_AN_IMAGE"),
        (GIF, "UNSUPPORTED_TYPE"),
        (b"BM" + bytes(50), "UNSUPPORTED_TYPE"),
        (b"II*\0" + bytes(50), "UNSUPPORTED_TYPE"),
        (b"MM\0*" + bytes(50), "UNSUPPORTED_TYPE"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "UNSUPPORTED_TYPE"),
        (b"%PDF-1.7", "UNSUPPORTED_TYPE"),
        (b"\xff\xd8\xff", "BROKEN_IMAGE"),
        (jpeg()[:8], "BROKEN_IMAGE"),
        (b"\x89PNG\r\n\x1a\n", "BROKEN_IMAGE"),
        (png("")[:20], "BROKEN_IMAGE"),
        (png("", width=0), "BROKEN_IMAGE"),
        (jpeg(height=0), "BROKEN_IMAGE"),
    ],
)
def test_file_that_the_service_cannot_take_is_rejected(content: bytes, code: str) -> None:
    assert rejection(content).code == code


def test_rejection_of_another_type_names_convert_images() -> None:
    assert str(rejection(GIF)) == (
        "the service accepts JPEG and PNG, this is image/gif; convert_images=True converts images"
    )


@pytest.mark.parametrize("draw", [jpeg, lambda *size: png("", width=size[0], height=size[1])])
def test_pixels_are_width_times_height(draw: Callable[[int, int], bytes]) -> None:
    prepare(image("memory://a", draw(5000, 4000)))
    error = rejection(draw(5000, 4001))
    assert (error.code, str(error)) == (
        "TOO_MANY_PIXELS",
        "the image has 5000x4001 pixels, more than max_pixels=20,000,000",
    )


class TestSize:
    def test_at_the_limit_is_accepted(self) -> None:
        prepared = prepare(image("memory://a", png("", size=defaults.MAX_IMAGE_BYTES)))
        assert prepared.size == defaults.MAX_IMAGE_BYTES

    def test_over_the_limit_is_rejected_with_both_numbers(self) -> None:
        error = rejection(png("", size=1001), max_image_bytes=1000)
        assert (error.code, str(error)) == ("TOO_LARGE", "the file has 1,001 bytes, more than max_image_bytes=1,000")

    def test_larger_than_a_request_is_rejected(self) -> None:
        error = rejection(png("", size=3000), max_request_bytes=4000)
        assert error.code == "TOO_LARGE"
        assert "max_request_bytes=4,000" in str(error)

    @pytest.mark.parametrize("size", range(750, 1500, 7))
    def test_accepted_makes_a_request_within_the_limit(self, size: int) -> None:
        try:
            prepared = prepare(image("memory://a", png("", size=size)), max_request_bytes=1500)
        except ImageRejectedError:
            return
        assert len(RequestBody([prepared.part], "f" * 50)) <= 1500

    @pytest.mark.parametrize("size", [0, defaults.MAX_IMAGE_BYTES + 1])
    def test_from_the_listing_can_reject_without_reading(self, size: int) -> None:
        read = raising(AssertionError("was read"))
        with pytest.raises(ImageRejectedError):
            prepare(Image("memory://a", read, size=size))

    def test_from_the_listing_is_not_trusted(self) -> None:
        body = png("", size=2000)
        with pytest.raises(ImageRejectedError):
            prepare(Image("memory://a", lambda: body, size=10), max_image_bytes=1000)


class TestReading:
    def test_of_a_deleted_object_says_so(self) -> None:
        error = unreadable(raising(FileNotFoundError("bucket/a.jpg")))
        assert (error.code, str(error)) == ("GONE", "the object is gone: it was deleted after it was listed")

    def test_of_an_object_never_listed_says_that_there_is_none(self) -> None:
        with pytest.raises(ImageUnreadableError, match=r"^the object does not exist$"):
            prepare(Image("memory://a", raising(FileNotFoundError("bucket/a.jpg"))))

    def test_failure_gives_the_reason(self) -> None:
        cause = PermissionError("403 Forbidden")
        error = unreadable(raising(cause))
        assert (error.code, str(error)) == ("UNREADABLE", "reading failed: PermissionError: 403 Forbidden")
        assert error.__cause__ is cause

    def test_failure_with_a_long_message_is_cut(self) -> None:
        assert len(str(unreadable(raising(OSError("x" * 10_000))))) == 500

    def test_that_returns_no_bytes_says_what_it_returned(self) -> None:
        assert "returned NoneType instead of bytes" in str(unreadable(lambda: None))  # type: ignore[arg-type, return-value]

    def test_without_enough_memory_is_no_verdict(self) -> None:
        assert unreadable(raising(MemoryError())).code == "OUT_OF_MEMORY"

    def test_may_reject_the_image(self) -> None:
        error = ImageRejectedError("an archive", "NOT_AN_IMAGE")
        with pytest.raises(ImageRejectedError) as caught:
            prepare(Image("memory://a", raising(error)))
        assert caught.value is error

    def test_happens_once(self) -> None:
        times = []

        def read() -> bytes:
            times.append(1)
            return png("a")

        prepare(Image("memory://a", read))
        assert times == [1]


class TestVersion:
    def test_comes_from_the_listing(self) -> None:
        assert prepare(image("memory://a")).etag == "v1"

    def test_of_what_was_read_replaces_the_listed_one(self) -> None:
        content = Content(png("a"))
        content.etag = "v2"
        assert prepare(image("memory://a", content)).etag == "v2"

    def test_stays_if_reading_does_not_tell_one(self) -> None:
        assert prepare(image("memory://a", Content(png("a")))).etag == "v1"


class TestConvert:
    def test_sends_the_converted_bytes_and_hashes_the_stored(self) -> None:
        prepared = prepare(image("memory://a.gif", GIF), convert=lambda content, settings: jpeg())
        assert prepared.mime_type == "image/jpeg"
        assert (prepared.sha256, prepared.size) == (hashlib.sha256(GIF).hexdigest(), len(GIF))

    def test_gets_files_over_the_size_limit(self) -> None:
        large = png("", size=2000)
        prepared = prepare(image("memory://a", large), max_image_bytes=1000, convert=lambda content, settings: jpeg())
        assert prepared.size == 2000

    def test_does_not_get_huge_files(self) -> None:
        huge = Image("memory://a", raising(AssertionError("was read")), size=MAX_CONVERTED_BYTES + 1)
        with pytest.raises(ImageRejectedError):
            prepare(huge, convert=lambda content, settings: jpeg())

    def test_without_enough_memory_is_no_verdict(self) -> None:
        def convert(content: bytes, settings: Settings) -> bytes:
            raise MemoryError

        with pytest.raises(ImageUnreadableError, match="not enough memory"):
            prepare(image("memory://a"), convert=convert)

    def test_output_is_checked_like_any_image(self) -> None:
        with pytest.raises(ImageRejectedError):
            prepare(image("memory://a"), convert=lambda content, settings: GIF)


class TestResult:
    def test_of_an_answer_has_the_fields_of_the_image(self) -> None:
        result = prepare(image("memory://a")).result("none", NOW, copy_count=0)
        assert (result.uri, result.status, result.copy_count) == ("memory://a", "none", 0)
        assert (result.sha256, result.size) == (hashlib.sha256(png("memory://a")).hexdigest(), len(png("memory://a")))
        assert (result.etag, result.mime_type, result.searched_at) == ("v1", "image/png", NOW)

    @pytest.mark.parametrize(
        ("error", "status"),
        [(ImageRejectedError("too large", "TOO_LARGE"), "rejected"), (ImageUnreadableError("no\nanswer"), "failed")],
    )
    def test_of_an_image_never_sent_has_the_reason(self, error: ImageError, status: str) -> None:
        result = result_of_error(image("memory://a"), error, NOW)
        assert (result.status, result.error_code, result.error_message) == (status, error.code, error.message)
        assert (result.size, result.etag, result.copy_count, result.searched_at) == (
            len(png("memory://a")),
            "v1",
            None,
            NOW,
        )
