from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import asdict
from html.parser import HTMLParser
from io import BytesIO
from typing import Any

import pytest

from airflow_provider_yandex_vision.report.finding import Finding
from airflow_provider_yandex_vision.report.languages import ENGLISH, LANGUAGES, Language
from airflow_provider_yandex_vision.report.page import Page, by_site
from tests.report.samples import NOW, finding
from tests.support.hostile import CODE, FORGERY

NUMBERS = {"pictures": 12_840, "open": 164, "new": 2, "cases": 7, "gone": 31}


class Elements(HTMLParser):
    """Start tags with their attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [found for name, found in self.found if name == tag and attributes.items() <= found.items()]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def html(*findings: Finding, language: Language = ENGLISH, thumbnail: str | None = None, **fields: Any) -> str:
    values: dict[str, Any] = {
        "language": language,
        "table": "copies",
        "select": "new",
        "made_at": NOW,
        "numbers": NUMBERS,
        "new_per_day": [(NOW.date(), 2)],
        "top_sites": [("news.example", 3)],
        "findings": findings,
        "selected": len(findings),
        "remote_pictures": False,
    }
    file = BytesIO()
    Page(**{**values, **fields}).write(file, lambda finding: thumbnail)
    return file.getvalue().decode()


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
@pytest.mark.parametrize("select", ["new", "open", "cases", "gone", "all"])
def test_page_says_what_it_shows(language: Language, select: str) -> None:
    page = Elements(html(finding(), language=language, select=select))
    assert page.all("html", lang=language.code)
    assert language.say(f"select_{select}") in page.text
    for name, number in NUMBERS.items():
        assert f"{language.say(f'{name}_total')} {language.number(number)}".replace("\u00a0", " ") in page.text


def test_card_has_the_facts() -> None:
    card = html(
        finding(
            title="Ten cats", pictures=3, verdict="licensed", note="paid in May", decided_by="anna", decided_at=NOW
        ),
        thumbnail="data:image/jpeg;base64,AAAA",
    )
    text = Elements(card).text
    assert "Ten cats https://www.daily-news.example/page/1" in text
    assert "First seen 26 Nov 2026 · last seen 27 Nov 2026 · 3 files of yours" in text
    assert "Licensed paid in May anna, 27 Nov 2026" in text
    assert finding(title="x").finding_id in text
    assert Elements(card).all("img", src="data:image/jpeg;base64,AAAA", alt="Yours: 1.jpg")


def test_page_that_is_gone_says_so() -> None:
    assert "Gone" in Elements(html(finding(current=False))).texts


def test_unknown_verdict_is_shown_as_it_is() -> None:
    assert Elements(html(finding(verdict="<b>mine</b>"))).all("span", **{"class": "badge "})
    assert "<b>mine</b>" in Elements(html(finding(verdict="<b>mine</b>"))).text


def test_links_tell_other_sites_nothing() -> None:
    links = Elements(html(finding(), remote_pictures=True)).all("a")
    assert len(links) == 3
    assert {(link["rel"], link["target"]) for link in links} == {("noopener noreferrer nofollow", "_blank")}


def test_pictures_of_other_sites_wait_for_a_click() -> None:
    page = Elements(html(finding()))
    assert page.all("img") == []
    assert len(page.all("button", type="button", **{"data-src": "https://img.daily-news.example/1.jpg"})) == 1


def test_pictures_of_other_sites_load_at_once_on_request() -> None:
    page = Elements(html(finding(), remote_pictures=True))
    [picture] = page.all("img", src="https://img.daily-news.example/1.jpg")
    assert picture["referrerpolicy"] == "no-referrer"
    assert not page.all("button", **{"data-src": "https://img.daily-news.example/1.jpg"})


def test_picture_without_a_preview_has_a_placeholder() -> None:
    page = Elements(html(finding(image_url="")))
    assert page.text.count("No preview") == 2


def test_policy_allows_this_style_and_this_script_only() -> None:
    page = html(finding())
    [policy] = Elements(page).all("meta", **{"http-equiv": "Content-Security-Policy"})
    for kind in ("style", "script"):
        [content] = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy["content"]
    assert policy["content"].startswith("default-src 'none';")
    assert "unsafe" not in policy["content"]


def test_nothing_is_styled_or_scripted_in_attributes() -> None:
    attributes = {name for _, found in Elements(html(finding())).found for name in found}
    assert "style" not in attributes
    assert not {name for name in attributes if name.startswith("on")}


@pytest.mark.parametrize(
    "name", ["title", "description", "page_url", "image_url", "site", "image_uri", "note", "decided_by"]
)
@pytest.mark.parametrize(
    "text", [*CODE.values(), FORGERY, '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "\udcff"]
)
def test_hostile_text_is_text(name: str, text: str) -> None:
    fields: dict[str, Any] = {
        "page_url": "https://a.example/",
        "image_url": "https://a.example/1.jpg",
        "verdict": "case",
    }
    plain, hostile = (Elements(html(finding(**{**fields, name: value}))) for value in ("harmless", text))
    assert [tag for tag, _ in plain.found] == [tag for tag, _ in hostile.found]
    links = {link["href"] for link in hostile.all("a")}
    assert {link.partition(":")[0] for link in links} <= {"https"}


def test_sites_with_new_pages_come_first() -> None:
    sites = by_site([finding(5, site="old.example"), finding(2), finding(9, site="old.example"), finding(3)])
    assert {site: [int(each.title[5:]) for each in group] for site, group in sites.items()} == {
        "daily-news.example": [2, 3],
        "old.example": [5, 9],
    }
    assert list(sites) == ["daily-news.example", "old.example"]


def test_page_says_what_it_leaves_out() -> None:
    assert "This page shows 1 of 5,000 findings. copies.csv has all." in Elements(html(finding(), selected=5000)).text
    assert "copies.csv" not in Elements(html(finding())).text


def test_empty_report_says_so() -> None:
    assert "Nothing to show." in Elements(html(top_sites=[], new_per_day=[])).text


def test_chart_says_its_numbers_to_those_who_do_not_see_it() -> None:
    [chart] = Elements(html(finding())).all("svg", role="img")
    assert chart["aria-label"] == "2 new pages in 90 days; most on one day: 2"


def test_finding_whose_image_was_deleted_is_shown_as_far_as_it_is_known() -> None:
    row: dict[str, Any] = {**asdict(finding()), "title": None, "image_uri": None, "image_url": None, "rank": None}
    page = Elements(html(Finding.of(row)))
    assert "Untitled page https://www.daily-news.example/page/1" in page.text
