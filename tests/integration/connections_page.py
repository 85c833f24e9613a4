"""Admin → Connections in Airflow 3's interface, operated by its visible texts in headless Chromium."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from selenium.common.exceptions import ElementClickInterceptedException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of, visibility_of_element_located
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 240.0
"""Seconds to wait for an element. The machine may be busy."""

OPTIONS = (
    "headless=new",
    "hide-scrollbars",
    "lang=en-US",
    "window-size=1200,950",
    "disable-gpu",
    "no-sandbox",  # root has none in a container
    # Connect to nothing but the server of the test:
    "disable-background-networking",
    "disable-component-update",
    "disable-quic",
    "disable-sync",
    "no-first-run",
)


@contextmanager
def chromium(profile: Path) -> Generator[Chrome]:
    """A browser.

    :param profile: an empty folder.
    """
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        assert os.environ.get("CI") != "true", "chromium and chromedriver are needed"
        pytest.skip("needs chromium and chromedriver")
    logging.getLogger("selenium").setLevel(logging.INFO)  # its debug log repeats what is typed, including keys
    options = ChromeOptions()
    options.binary_location = browser
    for option in (*OPTIONS, f"user-data-dir={profile}"):
        options.add_argument(f"--{option}")
    with Chrome(options, Service(driver)) as chrome:
        yield chrome


class ConnectionsPage:
    """The list of connections, and the form that adds or edits one.

    :param url: of the API server.
    """

    def __init__(self, browser: Chrome, url: str) -> None:
        self.browser = browser
        self.url = url

    def open(self) -> None:
        """Show the list alone."""
        self.browser.get(f"{self.url}/connections")
        self._find("//button[normalize-space()='Add Connection']")

    def add(self, conn_id: str, conn_type: str) -> None:
        self._find("//button[normalize-space()='Add Connection']").click()
        self.paste("Connection ID", conn_id)
        self.field("Connection Type").send_keys(conn_type)
        self._find(f"//*[@role='option'][normalize-space()='{conn_type}']")
        self.field("Connection Type").send_keys(Keys.ENTER)
        self._find("//*[@role='dialog']//button[normalize-space()='Extra Fields']")

    def edit(self, conn_id: str) -> None:
        self._button("Edit Connection", conn_id).click()

    def unfold(self, section: str) -> None:
        self._find(f"//*[@role='dialog']//button[normalize-space()='{section}']").click()

    def labels(self) -> list[str]:
        """Labels of the form's fields, including those in folded sections."""
        labels = self.browser.find_elements(By.XPATH, "//*[@role='dialog']//label")
        return [str(label.get_property("textContent")).strip() for label in labels]

    def field(self, label: str) -> WebElement:
        return self._find(f"{_labelled(label)}//*[self::input or self::textarea]")

    def paste(self, label: str, text: str) -> None:
        """Of a long text that is typed, a busy page loses letters; what is pasted while it unfolds, it loses whole."""
        field = self.field(label)
        deadline = time.monotonic() + PATIENCE
        while field.get_property("value") != text and time.monotonic() < deadline:
            with suppress(ElementClickInterceptedException):
                field.click()
            self.browser.execute_cdp_cmd("Input.insertText", {"text": text})
            time.sleep(0.1)

    def switch(self, label: str) -> None:
        """Turn on what is off."""
        self._find(f"{_labelled(label)}//*[@data-scope='switch'][@data-part='control']").click()

    def help(self, label: str) -> str:
        return self._find(f"{_labelled(label)}//*[@data-part='helper-text']").text

    def save(self) -> None:
        dialog = self._find("//*[@role='dialog']")
        self._find("//*[@role='dialog']//button[normalize-space()='Save']").click()
        WebDriverWait(self.browser, PATIENCE).until(staleness_of(dialog))

    def test(self, conn_id: str) -> str:
        """Press the Test button. :return: title and text of the message."""
        self._button("Test Connection", conn_id).click()
        return str(self._find("//*[@data-scope='toast'][@data-part='root']").get_property("textContent"))

    def row(self, conn_id: str) -> WebElement:
        """A connection in the list."""
        return self._find(_listed(conn_id))

    def _button(self, name: str, conn_id: str) -> WebElement:
        return self._find(f"{_listed(conn_id)}//button[@aria-label='{name}']")

    def _find(self, xpath: str) -> WebElement:
        """Wait until it is visible: much of the page is animated."""
        return WebDriverWait(self.browser, PATIENCE).until(visibility_of_element_located((By.XPATH, xpath)))


def _listed(conn_id: str) -> str:
    return f"//tr[td[normalize-space()='{conn_id}']]"


def _labelled(label: str) -> str:
    """The group of a label and its field: the ``for`` of Airflow's labels is not always right."""
    named = f".//label[starts-with(normalize-space(), '{label}')]"
    return f"//*[@role='dialog']//*[@data-part='root'][@role='group'][{named}]"
