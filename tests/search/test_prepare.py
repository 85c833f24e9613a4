from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from airflow_provider_yandex_vision.search.prepare import MAX_CONVERTED_BYTES, Limits, prepare_image, result_of
from airflow_provider_yandex_vision.vision.errors import ImageError, ImageRejectedError, ImageUnreadableError
from airflow_provider_yandex_vision.vision.models import MAX_CONTENT_BYTES, Answer, Content, Image, RequestBody
from tests.support.pictures import image, png

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
GIF = b"GIF89a" + bytes(20)


def jpeg(width: int = 4, height: int = 3) -> bytes:
    """The start of a JPEG file, up to the segment that tells its size."""
    return b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00" + b"\xff\xd9"


def rejection(content: bytes, **limits: int) -> ImageRejectedError:
    with pytest.raises(ImageRejectedError) as caught:
        prepare_image(image("memory://a", content), Limits(**limits))
    return caught.value


def unreadable(read: Callable[[], bytes]) -> ImageUnreadableError:
    with pytest.raises(ImageUnreadableError) as caught:
        prepare_image(Image("memory://a", read), Limits())
    return caught.value


def raising(error: Exception) -> Callable[[], bytes]:
    def read() -> bytes:
        raise error

    return read


@pytest.mark.parametrize(("content", "mime_type"), [(jpeg(), "image/jpeg"), (png("a"), "image/png")])
def test_an_image_is_sent_as_what_its_bytes_are(content: bytes, mime_type: str) -> None:
    checked = prepare_image(image("memory://photo.gif", content), Limits())
    assert checked.mime_type == mime_type
    assert json.loads(b"".join(RequestBody([checked.spec])))["analyzeSpecs"][0]["mimeType"] == mime_type


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
def test_what_the_service_cannot_take_is_rejected(content: bytes, code: str) -> None:
    assert rejection(content).code == code


def test_a_picture_of_another_type_is_named_with_the_way_out() -> None:
    assert str(rejection(GIF)) == (
        "the service takes JPEG and PNG, this is image/gif; convert_images=True converts pictures"
    )


@pytest.mark.parametrize("picture", [jpeg, lambda *size: png("", width=size[0], height=size[1])])
def test_pixels_count_as_width_times_height(picture: Callable[[int, int], bytes]) -> None:
    prepare_image(image("memory://a", picture(5000, 4000)), Limits())
    error = rejection(picture(5000, 4001))
    assert (error.code, str(error)) == (
        "TOO_MANY_PIXELS",
        "the picture has 5000x4001 pixels, more than max_pixels=20,000,000",
    )


class TestSize:
    def test_just_at_the_limit_is_taken(self) -> None:
        checked = prepare_image(image("memory://a", png("", size=MAX_CONTENT_BYTES)), Limits())
        assert checked.size == MAX_CONTENT_BYTES

    def test_over_the_limit_is_rejected_with_both_figures(self) -> None:
        error = rejection(png("", size=1001), max_image_bytes=1000)
        assert (error.code, str(error)) == ("TOO_LARGE", "the file has 1,001 bytes, more than max_image_bytes=1,000")

    def test_that_fills_more_than_a_request_is_rejected(self) -> None:
        error = rejection(png("", size=3000), max_request_bytes=4000)
        assert error.code == "TOO_LARGE"
        assert "max_request_bytes=4,000" in str(error)

    @pytest.mark.parametrize("size", range(750, 1500, 7))
    def test_that_is_taken_makes_a_request_within_the_limit(self, size: int) -> None:
        limits = Limits(max_request_bytes=1500)
        try:
            checked = prepare_image(image("memory://a", png("", size=size)), limits)
        except ImageRejectedError:
            return
        assert len(RequestBody([checked.spec], "f" * 50)) <= limits.max_request_bytes

    @pytest.mark.parametrize("size", [0, MAX_CONTENT_BYTES + 1])
    def test_known_from_the_listing_spares_the_reading(self, size: int) -> None:
        read = raising(AssertionError("was read"))
        with pytest.raises(ImageRejectedError):
            prepare_image(Image("memory://a", read, size=size), Limits())

    def test_known_from_the_listing_is_not_believed(self) -> None:
        body = png("", size=2000)
        with pytest.raises(ImageRejectedError):
            prepare_image(Image("memory://a", lambda: body, size=10), Limits(max_image_bytes=1000))


class TestReading:
    def test_that_finds_the_object_gone_says_so(self) -> None:
        error = unreadable(raising(FileNotFoundError("bucket/a.jpg")))
        assert (error.code, str(error)) == ("GONE", "the object is gone: it was listed, then deleted")

    def test_that_fails_tells_the_reason(self) -> None:
        cause = PermissionError("403 Forbidden")
        error = unreadable(raising(cause))
        assert (error.code, str(error)) == ("UNREADABLE", "reading failed: PermissionError: 403 Forbidden")
        assert error.__cause__ is cause

    def test_that_fails_with_a_long_story_is_cut(self) -> None:
        assert len(str(unreadable(raising(OSError("x" * 10_000))))) == 500

    def test_that_gives_no_bytes_says_what_it_gave(self) -> None:
        assert "gave NoneType instead of bytes" in str(unreadable(lambda: None))  # type: ignore[arg-type, return-value]

    def test_may_reject_the_image_itself(self) -> None:
        error = ImageRejectedError("an archive", "NOT_AN_IMAGE")
        with pytest.raises(ImageRejectedError) as caught:
            prepare_image(Image("memory://a", raising(error)), Limits())
        assert caught.value is error

    def test_happens_once(self) -> None:
        times = []

        def read() -> bytes:
            times.append(1)
            return png("a")

        prepare_image(Image("memory://a", read), Limits())
        assert times == [1]


class TestVersion:
    def test_is_the_one_of_the_listing(self) -> None:
        assert prepare_image(image("memory://a"), Limits()).etag == "v1"

    def test_that_was_really_read_takes_its_place(self) -> None:
        content = Content(png("a"))
        content.etag = "v2"
        assert prepare_image(image("memory://a", content), Limits()).etag == "v2"

    def test_that_reading_does_not_tell_leaves_it_there(self) -> None:
        assert prepare_image(image("memory://a", Content(png("a"))), Limits()).etag == "v1"


class TestConvert:
    def test_sends_the_picture_made_but_hashes_the_one_stored(self) -> None:
        checked = prepare_image(image("memory://a.gif", GIF), Limits(), convert=lambda content, limits: jpeg())
        assert checked.mime_type == "image/jpeg"
        assert (checked.sha256, checked.size) == (hashlib.sha256(GIF).hexdigest(), len(GIF))

    def test_gets_a_file_that_is_too_large_as_it_is(self) -> None:
        large = png("", size=2000)
        checked = prepare_image(image("memory://a", large), Limits(max_image_bytes=1000), lambda content, limits: jpeg())
        assert checked.size == 2000

    def test_does_not_get_a_file_beyond_all_measure(self) -> None:
        huge = Image("memory://a", raising(AssertionError("was read")), size=MAX_CONVERTED_BYTES + 1)
        with pytest.raises(ImageRejectedError):
            prepare_image(huge, Limits(), lambda content, limits: jpeg())

    def test_is_checked_like_any_other_picture(self) -> None:
        with pytest.raises(ImageRejectedError):
            prepare_image(image("memory://a"), Limits(), convert=lambda content, limits: GIF)


class TestRow:
    def test_of_an_answer_has_what_is_known_of_the_image(self) -> None:
        row = prepare_image(image("memory://a"), Limits()).result(Answer("none", 0), NOW)
        assert (row.uri, row.status, row.copy_count) == ("memory://a", "none", 0)
        assert (row.sha256, row.size) == (hashlib.sha256(png("memory://a")).hexdigest(), len(png("memory://a")))
        assert (row.etag, row.mime_type, row.searched_at) == ("v1", "image/png", NOW)

    @pytest.mark.parametrize(
        ("error", "status"),
        [(ImageRejectedError("too large", "TOO_LARGE"), "rejected"), (ImageUnreadableError("no\nanswer"), "failed")],
    )
    def test_of_an_image_never_sent_says_why(self, error: ImageError, status: str) -> None:
        row = result_of(image("memory://a"), error, NOW)
        assert (row.status, row.error_code, row.error_message) == (status, error.code, error.message)
        assert (row.size, row.etag, row.copy_count, row.searched_at) == (len(png("memory://a")), "v1", None, NOW)
