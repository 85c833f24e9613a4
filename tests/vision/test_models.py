from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.vision.models import (
    PIECE_BYTES,
    CopyMatch,
    CopySearchResult,
    RequestBody,
    clean,
    domain_of,
    encode_spec,
)
from tests.support.pictures import without_comma
from tests.support.texts import ANY_TEXT, FILE_NAMES, text_with


class TestRequest:
    def test_has_exactly_these_bytes(self) -> None:
        specs = [encode_spec(b"\xff\xd8\xff", "image/jpeg"), encode_spec(b"\x89PNG", "image/png")]
        assert b"".join(RequestBody(specs)) == (
            b'{"analyzeSpecs":['
            b'{"features":[{"type":"IMAGE_COPY_SEARCH"}],"mimeType":"image/jpeg","content":"/9j/"},'
            b'{"features":[{"type":"IMAGE_COPY_SEARCH"}],"mimeType":"image/png","content":"iVBORw=="}]}'
        )

    def test_has_base64_without_line_breaks_however_long_the_content(self) -> None:
        content = bytes(range(256)) * 100
        sent = json.loads(without_comma(encode_spec(content, "image/png")))["content"]
        assert sent == base64.b64encode(content).decode()
        assert "\n" not in sent

    def test_has_a_folder_id_where_one_is_set(self) -> None:
        assert json.loads(b"".join(RequestBody([], 'b1"g'))) == {"folderId": 'b1"g', "analyzeSpecs": []}

    @pytest.mark.parametrize("folder_id", [None, ""])
    def test_has_no_folder_id_where_none_is_set(self, folder_id: str | None) -> None:
        assert b"".join(RequestBody([], folder_id)) == b'{"analyzeSpecs":[]}'

    @pytest.mark.parametrize("specs", [0, 1, 8])
    def test_knows_its_length_without_being_joined(self, specs: int) -> None:
        body = RequestBody([encode_spec(b"content", "image/png")] * specs, "folder")
        assert len(body) == len(b"".join(body))

    def test_goes_in_pieces_that_a_slow_line_can_take_one_by_one(self) -> None:
        body = RequestBody([encode_spec(bytes(PIECE_BYTES), "image/png"), encode_spec(b"small", "image/png")])
        opening, large, rest, small, end = body
        assert len(large) == PIECE_BYTES > len(rest) > len(small)
        assert b"".join((opening, large, rest, small, end)) == b"".join(body)
        assert json.loads(b"".join(body))["analyzeSpecs"][0]["content"] == base64.b64encode(bytes(PIECE_BYTES)).decode()

    def test_can_be_sent_again(self) -> None:
        body = RequestBody([encode_spec(b"content", "image/png")])
        assert list(body) == list(body)


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://Shop.Example/a?b#c", "shop.example"),
        ("vk.com/wall-22890129_219793", "vk.com"),
        ("vk.com:8080/wall", "vk.com"),
        ("//cdn.test/a.jpg", "cdn.test"),
        ("HTTP://UPPER.TEST", "upper.test"),
        ("https://user:word@site.test:444/", "site.test"),
        ("http://пример.рф/страница", "пример.рф"),
        ("ПРИМЕР.рф/x", "пример.рф"),
        ("http://xn--e1afmkfd.xn--p1ai/", "xn--e1afmkfd.xn--p1ai"),
        ("http://[2001:db8::1]:80/", "2001:db8::1"),
        ("a.test/redirect?to=https://b.test/", "a.test"),
        ("", ""),
        ("http://", ""),
        ("http://[broken/", ""),
        ("http://a\u2100b.test/", ""),
    ],
)
def test_the_domain_of_a_page_comes_out_right(url: str, domain: str) -> None:
    assert domain_of(url) == domain


@given(text_with("htps:/.@[]?#%"))
def test_any_text_has_a_domain_or_none(url: str) -> None:
    assert domain_of(clean(url)) == clean(domain_of(clean(url)))


@given(ANY_TEXT)
def test_any_text_is_clean_after_cleaning_and_clean_text_is_left_alone(text: str) -> None:
    assert b"\0" not in clean(text).encode()
    assert clean(clean(text)) == clean(text)


def test_clean_text_keeps_whole_surrogate_pairs() -> None:
    assert clean("\ud83d\udc08 \ud83d \0") == "🐈 \ufffd \ufffd"


class TestResult:
    RESULT = CopySearchResult(
        uri="s3://bucket/a.jpg",
        status="found",
        copy_count=7,
        matches=(CopyMatch("https://i.test/1", "https://p.test/1", "Кот", "", 1, "p.test"),),
        sha256="00ff",
        size=5,
        etag="v1",
        mime_type="image/jpeg",
        searched_at=datetime(2026, 1, 1, 12, 30, tzinfo=timezone.utc),
    )

    def test_survives_json(self) -> None:
        assert CopySearchResult.from_dict(json.loads(json.dumps(self.RESULT.to_dict()))) == self.RESULT

    def test_of_an_image_never_sent_survives_json_too(self) -> None:
        result = CopySearchResult("memory://a", "failed", error_code="UNREADABLE", error_message="gone")
        assert CopySearchResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result

    @given(
        st.builds(
            CopySearchResult,
            uri=FILE_NAMES,
            copy_count=...,
            matches=st.lists(
                st.builds(CopyMatch, *[ANY_TEXT.map(clean)] * 4, st.integers(), st.just("")), max_size=3
            ).map(tuple),
            error_message=st.none() | ANY_TEXT,
            size=...,
            searched_at=st.none() | st.datetimes(timezones=st.just(timezone.utc)),
        )
    )
    def test_of_any_values_is_what_every_database_stores_as_json(self, result: CopySearchResult) -> None:
        stored = json.dumps(result.to_dict(), ensure_ascii=False).encode()
        assert b"\\u0000" not in stored
        assert CopySearchResult.from_dict(json.loads(stored)) == replace(
            result, uri=clean(result.uri), error_message=result.error_message and clean(result.error_message)
        )

    def test_is_told_in_plain_values(self) -> None:
        plain = self.RESULT.to_dict()
        assert plain["searched_at"] == "2026-01-01T12:30:00+00:00"
        assert plain["matches"][0]["page_url"] == "https://p.test/1"
