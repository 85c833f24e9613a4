"""What comes in from outside, and what is promised of it: a target takes any bytes and raises if a promise is broken.

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
from airflow_provider_yandex_vision.search.prepare import SENT_TYPES, Limits, prepare_image
from airflow_provider_yandex_vision.vision.client import _plain, parse_retry_after
from airflow_provider_yandex_vision.vision.errors import ImageRejectedError, ProtocolError
from airflow_provider_yandex_vision.vision.models import Answer, Image
from airflow_provider_yandex_vision.vision.wire import INT64_MAX, decode_error, decode_reply

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)

# Small, so that small inputs go beyond them.
LIMITS = Limits(max_image_bytes=2_500, max_pixels=5_000)
MAX_DECODED_PIXELS = 1_000_000


def replies(payload: bytes) -> None:
    """For one number of images as many answers, each whole and storable. For any other a ProtocolError."""
    taken = 0
    for images in range(4):
        with suppress(ProtocolError):
            answers = decode_reply(payload, images)
            assert len(answers) == images
            taken += 1
            for answer in answers:
                _check_answer(answer)
    assert taken <= 1


def errors(payload: bytes) -> None:
    """A code and words that can be stored, or None; of whatever came, words on one line."""
    words = _plain(payload)
    assert words == " ".join(words.split())
    assert all(text is None or _is_storable(text) for text in (*decode_error(payload), words))


def retry_after(header: bytes) -> None:
    """Seconds, after which there still is a date, or None."""
    seconds = parse_retry_after(header.decode("latin-1"), NOW)
    assert seconds is None or NOW + timedelta(seconds=seconds) >= NOW


def checks(content: bytes) -> None:
    """An image that is what it claims to be, or a rejection."""
    with suppress(ImageRejectedError):
        _check_claims(content)


def conversion(content: bytes) -> None:
    """The same bytes, left to the checks; or a whole JPEG that passes them, if it is no bomb; or a rejection."""
    try:
        with mock.patch.object(convert, "MAX_DECODED_PIXELS", MAX_DECODED_PIXELS):
            made = convert.to_accepted(content, LIMITS)
    except ImageRejectedError:
        return
    if made != content:
        assert math.prod(Pillow.open(io.BytesIO(content)).size) <= MAX_DECODED_PIXELS
        Pillow.open(io.BytesIO(made), formats=["JPEG"]).load()
        _check_claims(made)


TARGETS = {target.__name__: target for target in (replies, errors, retry_after, checks, conversion)}


def _check_answer(answer: Answer) -> None:
    if answer.status in ("rejected", "failed"):
        assert (answer.copy_count, answer.matches) == (None, ())
        assert all(map(_is_storable, (answer.error_code, answer.error_message)))
        return
    assert (answer.error_code, answer.error_message) == (None, None)
    assert type(answer.copy_count) is int
    assert 0 <= answer.copy_count <= INT64_MAX
    assert answer.status == ("found" if answer.copy_count or answer.matches else "none")
    assert [match.rank for match in answer.matches] == list(range(1, len(answer.matches) + 1))
    for match in answer.matches:
        texts = (match.image_url, match.page_url, match.title, match.description, match.domain)
        assert all(map(_is_storable, texts))


def _is_storable(text: object) -> bool:
    return isinstance(text, str) and not any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text)


def _check_claims(content: bytes) -> None:
    checked = prepare_image(Image("memory://fuzz", lambda: content), LIMITS)
    assert 0 < checked.size == len(content) <= LIMITS.max_image_bytes
    assert checked.sha256 == hashlib.sha256(content).hexdigest()
    assert [mime_type for magic, mime_type in SENT_TYPES.items() if content.startswith(magic)] == [checked.mime_type]
    spec = json.loads(checked.spec.removeprefix(b","))
    assert (spec["mimeType"], base64.b64decode(spec["content"])) == (checked.mime_type, content)
