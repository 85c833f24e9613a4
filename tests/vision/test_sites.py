from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from hypothesis import given

from airflow_provider_yandex_vision.vision.models import clean, domain_of
from airflow_provider_yandex_vision.vision.sites import is_public_suffix, normal_host, site_of
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
