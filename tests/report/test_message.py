from __future__ import annotations

import re
from collections import Counter

import pytest

from airflow_provider_yandex_vision.report.languages import ENGLISH, LANGUAGES, RUSSIAN
from airflow_provider_yandex_vision.report.message import message
from tests.support.hostile import CODE, FORGERY

SITES = Counter({"news.example": 4, "blog.example": 1, "shop.example": 2})
SELECTS = ("new", "open", "cases", "gone", "all")


def test_message_counts_pages_sites_and_pictures() -> None:
    assert message(ENGLISH, "new", SITES, 3) == (
        "7 new pages on 3 sites show 3 of your pictures: news.example (4), shop.example (2), blog.example (1)."
    )
    assert message(RUSSIAN, "new", SITES, 3) == (
        "7 новых страниц на 3 сайтах с 3 вашими изображениями: news.example (4), shop.example (2), blog.example (1)."
    )


def test_one_page_is_singular() -> None:
    assert message(ENGLISH, "new", Counter({"a.example": 1}), 1) == (
        "1 new page on 1 site shows 1 of your pictures: a.example (1)."
    )
    assert message(RUSSIAN, "new", Counter({"a.example": 1}), 1) == (
        "1 новая страница на 1 сайте с 1 вашим изображением: a.example (1)."
    )


def test_message_stays_short() -> None:
    many = Counter({f"site-{number}.example": 1000 - number for number in range(300)})
    text = message(ENGLISH, "open", many, 12_345)
    assert text.endswith("site-4.example (996) and 295 more sites.")
    assert len(text) < 300


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
@pytest.mark.parametrize("select", SELECTS)
def test_every_selection_has_a_sentence(language: object, select: str) -> None:
    assert "news.example" in message(ENGLISH if language is ENGLISH else RUSSIAN, select, SITES, 2)


def test_nothing_is_said_as_well() -> None:
    assert message(ENGLISH, "new", Counter(), 0) == "No new pages show your pictures."


@pytest.mark.parametrize(
    "site", [*CODE.values(), FORGERY, "<!channel>", "<https://evil.example|bank>", "@here", "*b*.x"]
)
def test_hostile_site_is_counted_and_not_quoted(site: str) -> None:
    text = message(ENGLISH, "new", Counter({site: 3, "news.example": 1}), 1)
    assert re.fullmatch(r"[\w\s.,:()-]+", text)
    assert "4 new pages on 2 sites" in text
    assert "news.example (1) and 1 more site." in text
