from __future__ import annotations

import base64
import json

import pytest

from airflow_provider_yandex_vision.vision.wire import ENVELOPE_BYTES, PIECE_BYTES, RequestBody, encode_image
from tests.support.pictures import without_comma


def test_request_has_exactly_these_bytes() -> None:
    parts = [encode_image(b"\xff\xd8\xff", "image/jpeg"), encode_image(b"\x89PNG", "image/png")]
    assert b"".join(RequestBody(parts)) == (
        b'{"analyzeSpecs":['
        b'{"features":[{"type":"IMAGE_COPY_SEARCH"}],"mimeType":"image/jpeg","content":"/9j/"},'
        b'{"features":[{"type":"IMAGE_COPY_SEARCH"}],"mimeType":"image/png","content":"iVBORw=="}]}'
    )


def test_base64_has_no_line_breaks() -> None:
    content = bytes(range(256)) * 100
    sent = json.loads(without_comma(encode_image(content, "image/png")))["content"]
    assert sent == base64.b64encode(content).decode()
    assert "\n" not in sent


def test_folder_id_is_sent_if_set() -> None:
    assert json.loads(b"".join(RequestBody([], 'b1"g'))) == {"folderId": 'b1"g', "analyzeSpecs": []}


@pytest.mark.parametrize("folder_id", [None, ""])
def test_folder_id_is_not_sent_if_empty(folder_id: str | None) -> None:
    assert b"".join(RequestBody([], folder_id)) == b'{"analyzeSpecs":[]}'


@pytest.mark.parametrize("count", [0, 1, 8])
def test_length_is_known_and_bounded(count: int) -> None:
    parts = [encode_image(b"content", "image/png")] * count
    body = RequestBody(parts, "f" * 50)
    assert len(body) == len(b"".join(body))
    assert len(body) <= sum(map(len, parts)) + ENVELOPE_BYTES


def test_body_is_sent_in_pieces() -> None:
    body = RequestBody([encode_image(bytes(PIECE_BYTES), "image/png"), encode_image(b"small", "image/png")])
    opening, large, rest, small, end = body
    assert len(large) == PIECE_BYTES > len(rest) > len(small)
    assert b"".join((opening, large, rest, small, end)) == b"".join(body)
    assert json.loads(b"".join(body))["analyzeSpecs"][0]["content"] == base64.b64encode(bytes(PIECE_BYTES)).decode()


def test_body_can_be_sent_again() -> None:
    body = RequestBody([encode_image(b"content", "image/png")])
    assert list(body) == list(body)
