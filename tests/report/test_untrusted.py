from __future__ import annotations

import pytest

from airflow_provider_yandex_vision.report.untrusted import cell, is_host, plain, web_url
from tests.support.hostile import CODE, FORGERY


@pytest.mark.parametrize(
    "url", ["https://example.com/a?b=c#d", "http://кофейня.example/меню", "HTTPS://[2001:db8::1]:8080/"]
)
def test_page_on_the_web_becomes_a_link(url: str) -> None:
    assert web_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "//example.com/",
        "example.com",
        "https://",
        "https://bank.example@evil.example/",
        "https://example.com/\u202egpj.exe",
        "https://[::1",
        "",
    ],
)
def test_other_urls_never_become_links(url: str) -> None:
    assert web_url(url) is None


def test_text_stays_on_one_line_and_in_its_order() -> None:
    assert plain(FORGERY).isprintable()
    assert plain("photo\u202egpj.exe\u2066\n") == "photo gpj.exe"


def test_letters_of_every_script_stay() -> None:
    text = "猫 кот 👩‍🚀 हिन्दी عربى"
    assert plain(text) == text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", " =", "\u00a0@"])
def test_formula_starts_with_an_apostrophe(start: str) -> None:
    assert cell(f"{start}1+1") == f"'{start}1+1"


@pytest.mark.parametrize("text", ["", "cat", "1+1", "https://example.com/?a=b", "'=1"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert cell(text) == text


@pytest.mark.parametrize("name", ["example.com", "xn--80aswg.xn--p1ai", "кофейня.рф", "127.0.0.1"])
def test_host_is_one(name: str) -> None:
    assert is_host(name)


@pytest.mark.parametrize(
    "name",
    ["", "<!channel>", "a.b<c", "_a.example", "a_b.example", ":x:", "[::1]", "*.example", "a b.c", *CODE.values()],
)
def test_markup_is_no_host(name: str) -> None:
    assert not is_host(name)
