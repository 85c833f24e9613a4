from __future__ import annotations

import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given

from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from airflow_provider_yandex_vision.vision.models import clean, domain_of
from airflow_provider_yandex_vision.vision.sites import (
    is_below,
    is_public_suffix,
    normal_host,
    parse_site,
    parse_sites,
    site_of,
)
from tests.support.texts import ANY_TEXT, text_with


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("img.shop.example.co.uk", "example.co.uk"),
        ("example.co.uk", "example.co.uk"),
        ("Shop.Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("a.b.anna.github.io", "anna.github.io"),
        ("anna.github.io", "anna.github.io"),
        ("github.io", "github.io"),
        ("co.uk", "co.uk"),
        ("bucket.s3.amazonaws.com", "bucket.s3.amazonaws.com"),
        ("фото.Пример.РФ", "пример.рф"),
        ("xn--n1adeq.xn--e1afmkfd.xn--p1ai", "пример.рф"),
        ("shop.xn--e1afmkfd.рф", "пример.рф"),
        ("b\u0443\u0306.рф", "b\u045e.рф"),
        ("www.cats.example", "cats.example"),
        ("localhost", "localhost"),
        ("192.168.0.1", "192.168.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("a..b", "a..b"),
        ("xn--.example", "xn--.example"),
        ("xn--fa-hia.example", "xn--fa-hia.example"),
        ("", ""),
    ],
)
def test_site_of_a_host(host: str, site: str) -> None:
    assert site_of(host) == site


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("co.uk", True),
        ("GitHub.io", True),
        ("рф", True),
        ("xn--p1ai", True),
        ("example.com", False),
        ("localhost", False),
        ("192.168.0.1", False),
        ("", False),
    ],
)
def test_sites_below_a_public_suffix_belong_to_different_owners(host: str, answer: bool) -> None:
    assert is_public_suffix(host) is answer


@given(ANY_TEXT)
def test_any_text_has_a_site_that_is_its_own(text: str) -> None:
    site = site_of(clean(text))
    assert site_of(site) == site == clean(site)


@given(text_with("xn--.рф"))
def test_a_host_has_one_spelling(text: str) -> None:
    host = normal_host(domain_of(text))
    assert normal_host(host) == host
    assert urlsplit(f"//{host}").path == ""


def test_the_list_is_read_when_the_first_site_is_asked_for() -> None:
    program = (
        "from airflow_provider_yandex_vision.vision import sites, wire; "
        "assert sites._suffixes.cache_info().currsize == 0; sites.site_of('a.example'); sites.site_of('b.example'); "
        "assert sites._suffixes.cache_info().misses == 1"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("example.com", "example.com"),
        (" Example.COM. ", "example.com"),
        ("img.example.com", "img.example.com"),
        ("ПРИМЕР.рф", "пример.рф"),
        ("xn--e1afmkfd.xn--p1ai", "пример.рф"),
        ("https://www.example.com/about?x=1#y", "example.com"),
        ("http://img.example.com:8080/", "img.example.com"),
        ("//user:word@example.com/", "example.com"),
        ("example.com/", "example.com"),
        ("https://www.github.io/", "www.github.io"),
        ("localhost", "localhost"),
        ("a_b.example.com", "a_b.example.com"),
    ],
)
def test_people_name_a_site(text: str, site: str) -> None:
    assert parse_site(text) == site


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("example.com:8080", "it has a port"),
        ("example.com:", "it has a port"),
        ("*.example.com", "it has a wildcard"),
        ("192.168.0.1", "it is an address"),
        ("http://192.168.0.1/", "it is an address"),
        ("[2001:db8::1]", "it is an address"),
        ("http://[2001:db8::1]:80/", "it is an address"),
        ("co.uk", "belong to different owners"),
        ("github.io", "belong to different owners"),
        ("", "not the name of a host"),
        ("https://", "not the name of a host"),
        (".example.com", "not the name of a host"),
        ("example com", "not the name of a host"),
        ("me@example.com", "not the name of a host"),
        ("a..b", "not the name of a host"),
        ("-a.example", "not the name of a host"),
        ("a." * 127 + "example", "not the name of a host"),
        (None, "is not a site"),
        (5, "is not a site"),
    ],
)
def test_what_is_no_site_is_refused_in_one_sentence(text: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as raised:
        parse_site(text)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        ["Example.com", "пример.рф"],
        ("example.com", "пример.рф", "example.com"),
        "example.com, пример.рф",
        "\r\n".join(["example.com", "", "пример.рф", ""]),
        "['example.com', 'пример.рф']",
        '["example.com", "пример.рф"]',
    ],
)
def test_people_list_sites(value: Any) -> None:
    assert parse_sites(value) == ["example.com", "пример.рф"]


@pytest.mark.parametrize("value", [(), "", " \n, ", "[]"])
def test_no_sites(value: Any) -> None:
    assert parse_sites(value) == []


@given(ANY_TEXT | text_with("a.:/[]*-"))
def test_any_text_is_a_site_or_refused(text: str) -> None:
    try:
        site = parse_site(text)
    except ConfigurationError:
        return
    assert parse_site(site) == site


@pytest.mark.parametrize(
    ("host", "below"),
    [("example.com", True), ("a.b.example.com", True), ("badexample.com", False), ("com", False), ("", False)],
)
def test_a_site_stands_for_what_is_below_it(host: str, below: bool) -> None:
    assert is_below(host, {"example.com", "img.example.org"}) is below
