"""The report's page in a real browser: what it asks the network for, what runs in it, and how it is used."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_core_python
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from airflow_provider_yandex_vision.report.finding import Finding
from airflow_provider_yandex_vision.report.languages import LANGUAGES
from airflow_provider_yandex_vision.report.page import Page
from airflow_provider_yandex_vision.report.thumbnails import thumbnail
from tests.integration.connections_page import PATIENCE, chromium
from tests.report.samples import NOW, finding, picture
from tests.support.hostile import CODE, FORGERY
from tests.support.loopback import reply, serving

pytestmark = pytest.mark.integration

HOSTILE = (
    *CODE.values(),
    FORGERY,
    "</title><script>document.title = 'owned'</script>",
    '"><img src="{url}/image" onerror="document.title = \'owned\'">',
    "<svg/onload=document.title='owned'>",
    "<style>@import '{url}/style';</style>",
    "</script><script src='{url}/script'></script>",
    "<meta http-equiv=refresh content='0;url={url}/refresh'>",
    "<link rel=stylesheet href='{url}/sheet'><iframe src='{url}/frame'></iframe>",
    "<base href='{url}/'><form action='{url}/form'>",
    "{{ ''.__class__ }}${{alert(1)}}",
)

VIEWS = [(language, dark, width) for language in LANGUAGES for dark in (False, True) for width in (1280, 390)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as chrome:
        yield chrome


@pytest.fixture
def heads() -> list[str]:
    """Heads of the requests that other people's server got."""
    return []


@pytest.fixture
def stranger(heads: list[str]) -> Iterator[str]:
    """Somebody's web server, which has pictures."""
    answer = reply(picture(64, 48), "Content-Type: image/jpeg", "Connection: close")
    with serving(lambda connection: connection.sendall(answer), heads=heads) as url:
        yield url


def write(path: Path, findings: list[Finding], language: str = "en", **fields: Any) -> str:
    values: dict[str, Any] = {
        "language": LANGUAGES[language],
        "table": "copies",
        "select": "new",
        "made_at": NOW,
        "numbers": {"pictures": 12_840, "open": 164, "new": 2, "cases": 7, "gone": 31},
        "new_per_day": [(NOW.date(), 2)],
        "top_sites": [("news.example", 3), ("blog.example", 1)],
        "findings": findings,
        "selected": len(findings) + 1,
        "remote_pictures": False,
    }
    own = thumbnail(picture())
    with (path / "copies.html").open("wb") as file:
        Page(**{**values, **fields}).write(file, lambda finding: _data_url(own))
    return (path / "copies.html").as_uri()


def _data_url(content: bytes) -> str:
    return f"data:image/jpeg;base64,{b64encode(content).decode()}"


def shown(browser: Chrome) -> list[str]:
    return [card.text for card in browser.find_elements(By.CSS_SELECTOR, ".card h3") if card.is_displayed()]


def settle(browser: Chrome) -> None:
    """Wait until the page has done what it does by itself."""
    browser.set_script_timeout(PATIENCE)
    browser.execute_async_script("const done = arguments[0]; requestIdleCallback(() => setTimeout(done, 500));")


def test_opening_the_page_runs_and_requests_nothing(
    browser: Chrome, tmp_path: Path, stranger: str, heads: list[str]
) -> None:
    texts = [text.replace("{url}", stranger) for text in HOSTILE]
    hostile: list[dict[str, Any]] = [
        {
            "title": text,
            "description": text,
            "site": text,
            "note": text,
            "decided_by": text,
            "verdict": "case",
            "image_uri": text,
        }
        for text in texts
    ]
    urls = [*texts, f"{stranger}/image", f"javascript:fetch('{stranger}')"]
    findings = [finding(number, **fields) for number, fields in enumerate(hostile)]
    findings += [finding(100 + number, page_url=url, image_url=url) for number, url in enumerate(urls)]
    page = write(tmp_path, findings, top_sites=[(text, 1) for text in texts])
    browser.get(page)
    title = browser.title
    settle(browser)
    assert len(shown(browser)) == len(findings)
    for details in browser.find_elements(By.TAG_NAME, "summary"):
        browser.execute_script("arguments[0].click()", details)
    settle(browser)
    assert heads == []
    assert (browser.title, browser.current_url) == (title, page)
    assert (
        browser.execute_script(
            "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length"
        )
        == 0
    )
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 1


def test_picture_of_another_site_loads_on_its_click_without_referrer(
    browser: Chrome, tmp_path: Path, stranger: str, heads: list[str]
) -> None:
    findings = [finding(number, image_url=f"{stranger}/{number}.jpg") for number in range(3)]
    browser.get(write(tmp_path, findings))
    browser.find_elements(By.CSS_SELECTOR, "button.load")[1].click()
    WebDriverWait(browser, PATIENCE).until(
        lambda _: (
            browser.execute_script(f"return document.querySelector('img[src^=\"{stranger}\"]')?.naturalWidth") == 64
        )
    )
    [head] = heads
    assert head.startswith("GET /1.jpg ")
    assert "referer:" not in head.lower()
    assert len(browser.find_elements(By.CSS_SELECTOR, "button.load")) == 2


def test_picture_that_does_not_load_says_so(browser: Chrome, tmp_path: Path) -> None:
    browser.get(write(tmp_path, [finding(image_url="http://127.0.0.1:9/gone.jpg")]))
    browser.find_element(By.CSS_SELECTOR, "button.load").click()
    WebDriverWait(browser, PATIENCE).until(
        lambda _: "Their picture could not be loaded" in browser.find_element(By.CLASS_NAME, "card").text
    )


def test_pictures_of_other_sites_load_at_once_on_request(
    browser: Chrome, tmp_path: Path, stranger: str, heads: list[str]
) -> None:
    browser.get(write(tmp_path, [finding(image_url=f"{stranger}/a.jpg")], remote_pictures=True))
    WebDriverWait(browser, PATIENCE).until(lambda _: heads)
    assert "referer:" not in heads[0].lower()


def test_filter_by_site_and_text(browser: Chrome, tmp_path: Path) -> None:
    titles = {"a.example": ["Red cat", "Blue CAT"], "b.example": ["Red dog"]}
    findings = [
        finding(len(title), site=site, title=title, image_uri="m://1.jpg") for site in titles for title in titles[site]
    ]
    browser.get(write(tmp_path, findings))
    site, text = browser.find_element(By.ID, "site"), browser.find_element(By.ID, "text")
    text.send_keys("cat")
    assert sorted(shown(browser)) == ["Blue CAT", "Red cat"]
    text.clear()
    text.send_keys("red dog")
    assert shown(browser) == ["Red dog"]
    site.send_keys("a.example")
    assert shown(browser) == []
    assert browser.find_element(By.ID, "none-visible").is_displayed()
    text.clear()
    text.send_keys(" ")
    assert sorted(shown(browser)) == ["Blue CAT", "Red cat"]
    assert browser.find_element(By.ID, "visible").text == "2"


def test_side_by_side_shows_both_pictures_larger(browser: Chrome, tmp_path: Path) -> None:
    browser.get(write(tmp_path, [finding(), finding(2)]))
    before = browser.find_element(By.CSS_SELECTOR, "figure img").size["height"]
    browser.find_element(By.ID, "side-by-side").click()
    assert browser.find_element(By.CSS_SELECTOR, "figure img").size["height"] > 2 * before


def test_page_is_readable_without_script(browser: Chrome, tmp_path: Path) -> None:
    page = write(tmp_path, [finding()])
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page)
        assert shown(browser) == ["Page 1"]
        assert not browser.find_element(By.ID, "text").is_displayed()
        links = browser.find_elements(By.CSS_SELECTOR, ".card a")
        assert {link.get_dom_attribute("href") for link in links if link.is_displayed()} == {
            "https://www.daily-news.example/page/1",
            "https://img.daily-news.example/1.jpg",
        }
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_paper_shows_what_the_screen_folds(browser: Chrome, tmp_path: Path) -> None:
    browser.get(write(tmp_path, [finding()]))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not browser.find_element(By.ID, "text").is_displayed()
        assert browser.find_element(By.TAG_NAME, "code").size["height"] > 0
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize(("language", "dark", "width"), VIEWS)
def test_page_fits_and_everybody_can_use_it(
    browser: Chrome, tmp_path: Path, language: str, dark: bool, width: int
) -> None:
    """No fault that axe-core finds, and nothing to scroll sideways."""
    decisions = [finding(n, verdict=v, note="n", decided_at=NOW) for n, v in enumerate(("case", "own", "licensed"))]
    long = finding(
        9, title="x" * 300, page_url=f"https://a.example/{'x' * 500}", current=False, site=f"{'a' * 60}.example"
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        browser.get(write(tmp_path, [*decisions, long, finding(5, image_url="")], language))
        assert browser.execute_script("return document.documentElement.scrollWidth") == width
        browser.execute_script((Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
        found = browser.execute_async_script("axe.run(document).then(arguments[0])")
        assert [f"{each['id']}: {json.dumps(each['nodes'][0]['html'])}" for each in found["violations"]] == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
