from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.vision import CopyMatch, CopySearchResult, PreparedImage
from airflow_provider_yandex_vision.vision.models import clean, domain_of
from tests.support.texts import ANY_TEXT, FILE_NAMES, text_with


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
def test_domain_of_a_page(url: str, domain: str) -> None:
    assert domain_of(url) == domain


@given(text_with("htps:/.@[]?#%"))
def test_domain_of_any_text_is_clean(url: str) -> None:
    assert domain_of(clean(url)) == clean(domain_of(clean(url)))


@given(ANY_TEXT)
def test_any_text_can_be_cleaned(text: str) -> None:
    assert b"\0" not in clean(text).encode()
    assert clean(clean(text)) == clean(text)


def test_clean_keeps_surrogate_pairs() -> None:
    assert clean("\ud83d\udc08 \ud83d \0") == "🐈 \ufffd \ufffd"


NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


class TestResult:
    RESULT = CopySearchResult(
        uri="s3://bucket/a.jpg",
        status="found",
        copy_count=7,
        matches=(CopyMatch("https://i.test/1", "https://p.test/1", "Кот", "", 1, "p.test", "p.test"),),
        sha256="00ff",
        size=5,
        etag="v1",
        mime_type="image/jpeg",
        searched_at=datetime(2026, 1, 1, 12, 30, tzinfo=timezone.utc),
    )

    def test_of_an_image_never_sent_is_plain(self) -> None:
        result = CopySearchResult("memory://a", "failed", error_code="UNREADABLE", error_message="gone")
        plain = result.to_dict()
        assert json.loads(json.dumps(plain)) == plain
        assert (plain["status"], plain["matches"], plain["searched_at"]) == ("failed", [], None)

    @given(
        st.builds(
            CopySearchResult,
            uri=FILE_NAMES,
            copy_count=...,
            matches=st.lists(
                st.builds(CopyMatch, *[ANY_TEXT.map(clean)] * 4, st.integers(), st.just(""), st.just("")), max_size=3
            ).map(tuple),
            error_message=st.none() | ANY_TEXT,
            size=...,
            searched_at=st.none() | st.datetimes(timezones=st.just(timezone.utc)),
        )
    )
    def test_of_any_values_is_storable_json(self, result: CopySearchResult) -> None:
        stored = json.dumps(result.to_dict(), ensure_ascii=False).encode()
        assert b"\\u0000" not in stored
        plain = json.loads(stored)
        assert plain["matches"] == [asdict(match) for match in result.matches]
        assert plain["searched_at"] == (result.searched_at and result.searched_at.isoformat())
        assert (plain["uri"], plain["size"]) == (clean(result.uri), result.size)
        assert plain["error_message"] == (result.error_message and clean(result.error_message))

    def test_to_dict_has_plain_values(self) -> None:
        plain = self.RESULT.to_dict()
        assert json.loads(json.dumps(plain)) == plain
        assert plain["searched_at"] == "2026-01-01T12:30:00+00:00"
        assert plain["matches"][0]["page_url"] == "https://p.test/1"
        assert (plain["matches"][0]["domain"], plain["matches"][0]["site"]) == ("p.test", "p.test")


class TestPreparedImage:
    IMAGE = PreparedImage("s3://bucket/twin.jpg", b"part", "00ff", 5, "image/jpeg", "v2")

    def test_result_describes_the_image_and_has_the_answer(self) -> None:
        assert self.IMAGE.result("none", NOW, copy_count=0) == CopySearchResult(
            "s3://bucket/twin.jpg",
            "none",
            copy_count=0,
            sha256="00ff",
            size=5,
            etag="v2",
            mime_type="image/jpeg",
            searched_at=NOW,
        )

    def test_copy_of_a_result_has_its_answer_and_time(self) -> None:
        original = TestResult.RESULT
        copied = self.IMAGE.copy_of(original)
        assert copied == replace(original, uri="s3://bucket/twin.jpg", etag="v2")
        assert copied.searched_at == original.searched_at
