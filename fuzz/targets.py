"""Untrusted input and what reading it guarantees: a target takes any bytes and raises if a guarantee is broken.

No fuzzer is imported here: the tests run every file of ``tests/corpus`` through its target.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from unittest import mock

from PIL import Image as Pillow

from airflow_provider_yandex_vision.images import convert
from airflow_provider_yandex_vision.search.prepare import SENT_TYPES, prepare_image
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import ApiKey, CopySearchResult, Image, PreparedImage, VisionClient
from airflow_provider_yandex_vision.vision.client import _plain_text, parse_retry_after
from airflow_provider_yandex_vision.vision.errors import ImageRejectedError, ProtocolError
from airflow_provider_yandex_vision.vision.wire import INT64_MAX, decode_error, decode_reply

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)

CLIENT = VisionClient(ApiKey("key"))
IMAGES = [PreparedImage(f"memory://{number}", b"", "00ff", 1, "image/png", None) for number in range(3)]

# Low, so that small inputs exceed them.
SETTINGS = Settings(max_image_bytes=2_500, max_pixels=5_000)
MAX_DECODED_PIXELS = 1_000_000


def replies(payload: bytes) -> None:
    """For one number of images, a complete and storable result each; for any other number, a ProtocolError."""
    accepted = 0
    for count in range(len(IMAGES) + 1):
        with suppress(ProtocolError):
            results = decode_reply(payload, IMAGES[:count], NOW)
            assert [result.uri for result in results] == [image.uri for image in IMAGES[:count]]
            accepted += 1
            for result in results:
                _check_result(result)
    assert accepted <= 1


def errors(payload: bytes) -> None:
    """A storable code and message, or None; of any payload, its text on one line."""
    text = _plain_text(payload)
    assert text == " ".join(text.split())
    assert all(each is None or _is_storable(each) for each in (*decode_error(payload), text))


def retry_after(header: bytes) -> None:
    """Seconds that can be added to a date, or None."""
    seconds = parse_retry_after(header.decode("latin-1"), NOW)
    assert seconds is None or NOW + timedelta(seconds=seconds) >= NOW


def checks(content: bytes) -> None:
    """An image of the type and size it claims to be, or a rejection."""
    with suppress(ImageRejectedError):
        _check_claims(content)


def conversion(content: bytes) -> None:
    """The same bytes, or a complete JPEG that passes the checks if the image is no bomb, or a rejection."""
    try:
        with mock.patch.object(convert, "MAX_DECODED_PIXELS", MAX_DECODED_PIXELS):
            converted = convert.to_accepted(content, SETTINGS)
    except ImageRejectedError:
        return
    if converted != content:
        assert math.prod(Pillow.open(io.BytesIO(content)).size) <= MAX_DECODED_PIXELS
        Pillow.open(io.BytesIO(converted), formats=["JPEG"]).load()
        _check_claims(converted)


TARGETS = {target.__name__: target for target in (replies, errors, retry_after, checks, conversion)}


def _check_result(result: CopySearchResult) -> None:
    if result.status in ("rejected", "failed"):
        assert (result.copy_count, result.matches) == (None, ())
        assert all(map(_is_storable, (result.error_code, result.error_message)))
        return
    assert (result.error_code, result.error_message) == (None, None)
    assert type(result.copy_count) is int
    assert 0 <= result.copy_count <= INT64_MAX
    assert result.status == ("found" if result.copy_count or result.matches else "none")
    assert [match.rank for match in result.matches] == list(range(1, len(result.matches) + 1))
    for match in result.matches:
        texts = (match.image_url, match.page_url, match.title, match.description, match.domain, match.site)
        assert all(map(_is_storable, texts))


def _is_storable(text: object) -> bool:
    return isinstance(text, str) and not any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text)


def _check_claims(content: bytes) -> None:
    prepared = prepare_image(Image("memory://fuzz", lambda: content), CLIENT, SETTINGS)
    assert 0 < prepared.size == len(content) <= SETTINGS.max_image_bytes
    assert prepared.sha256 == hashlib.sha256(content).hexdigest()
    assert [mime_type for magic, mime_type in SENT_TYPES.items() if content.startswith(magic)] == [prepared.mime_type]
    part = json.loads(prepared.part.removeprefix(b","))
    assert (part["mimeType"], base64.b64decode(part["content"])) == (prepared.mime_type, content)
