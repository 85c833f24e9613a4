"""The connection form of Airflow 3 in a real browser: filled in, saved, tested and used by a DAG."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_yandex_vision.emulator.pages import index_pages
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import FOLDER_ID, Service
from airflow_provider_yandex_vision.get_provider_info import get_provider_info
from airflow_provider_yandex_vision.vision.client import DEFAULT_HOST
from tests.integration.conftest import EXAMPLES, ROOT, python
from tests.integration.connections_page import PATIENCE, ConnectionsPage, chromium
from tests.support.cloud import Cloud, running_cloud
from tests.support.photographs import make_pictures, make_web
from tests.support.secrets import ACCOUNT, API_KEY, authorized_key, shows_secret

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        version("apache-airflow").startswith("2."), reason="tests/test_provider_info.py covers the form of Airflow 2"
    ),
]

CONN_ID = "yandex_vision_default"
EXTRA_FIELDS = get_provider_info()["connection-types"][0]["conn-fields"]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with running_cloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def airflow(airflow_home: Path, cloud: Cloud) -> Iterator[str]:
    """An API server without access control. :return: its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "YC_METADATA_ADDR": cloud.address,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow_home / 'airflow.db'}",
    }
    command = [sys.executable, "-m", "airflow", "api-server", "--apps", "core", "--host", "127.0.0.1"]
    log = airflow_home / "api-server.log"
    with (
        log.open("wb") as output,
        Popen([*command, "--port", str(port)], env=os.environ | environment, stdout=output, stderr=STDOUT) as server,
    ):
        try:
            await_reply(f"http://127.0.0.1:{port}/api/v2/version", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def await_reply(url: str, server: Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 2 * PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(requests.ConnectionError):
            requests.get(url, timeout=PATIENCE).raise_for_status()
            return
        time.sleep(0.2)
    pytest.fail(f"the API server does not respond:\n{log.read_text()[-5000:]}")


@pytest.fixture(scope="module")
def interface(airflow: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectionsPage]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield ConnectionsPage(browser, airflow)


@pytest.fixture
def page(interface: ConnectionsPage) -> ConnectionsPage:
    interface.open()
    return interface


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(Service(index_pages(make_web(tmp_path_factory.mktemp("web"))), api_key=API_KEY)) as url:
        yield url


@pytest.fixture(scope="module")
def saved(interface: ConnectionsPage, emulator: str) -> str:
    """A connection that was entered in the form. :return: its id."""
    url = urlsplit(emulator)
    fields = {"Base URL": f"http://{url.hostname}", "Port": str(url.port), "API key": API_KEY}
    save(interface, CONN_ID, fields, {"Folder ID": FOLDER_ID, "Timeout": "30"})
    return CONN_ID


def save(page: ConnectionsPage, conn_id: str, fields: dict[str, str], extra: dict[str, str] | None = None) -> None:
    """Enter a connection in the form, and return to the list."""
    page.open()
    page.add(conn_id, "Yandex Vision")
    for label, value in fields.items():
        page.paste(label, value)
    if extra:
        page.unfold("Extra Fields")
        for label, value in extra.items():
            page.paste(label, value)
    page.save()
    page.open()


def test_the_form_has_the_fields_of_a_connection_and_no_others(page: ConnectionsPage) -> None:
    page.add(CONN_ID, "Yandex Vision")
    standard, extra = page.labels()[2:6], page.labels()[6:]
    assert standard == ["Description", "Base URL", "API key", "Port"]
    assert sorted(filter(None, extra)) == sorted(field["label"] for field in EXTRA_FIELDS.values())


def test_the_form_explains_its_fields(page: ConnectionsPage) -> None:
    page.add(CONN_ID, "Yandex Vision")
    assert page.field("Base URL").get_attribute("placeholder") == DEFAULT_HOST
    assert "ai.vision.user" in str(page.field("API key").get_attribute("placeholder"))
    assert str(page.field("Port").get_attribute("placeholder")).startswith("443 ")
    page.unfold("Extra Fields")
    for field in EXTRA_FIELDS.values():
        assert page.help(field["label"]) == field["description"]


def test_keys_are_hidden_while_they_are_typed(page: ConnectionsPage) -> None:
    page.add(CONN_ID, "Yandex Vision")
    page.field("API key").send_keys(API_KEY)
    assert page.field("API key").get_attribute("type") == "password"
    page.unfold("Extra Fields")
    assert page.field("Authorized key, JSON").get_attribute("type") == "password"
    if os.environ.get("UPDATE_SCREENSHOTS"):
        page.browser.save_screenshot(str(ROOT / "docs" / "form.png"))


def test_a_saved_key_is_not_shown(page: ConnectionsPage, saved: str, emulator: str) -> None:
    assert page.row(saved).text.split() == [saved, "yandex_vision", *emulator.rsplit(":", 1)]
    listed = page.browser.page_source
    page.edit(saved)
    assert page.field("API key").get_property("value") == "***"
    replied = api(page.url, "GET", f"/{saved}")
    assert replied["password"] == "***"
    assert API_KEY not in f"{listed}{page.browser.page_source}{replied}"


def test_extra_fields_are_saved_with_their_types(page: ConnectionsPage, saved: str) -> None:
    extra = json.loads(api(page.url, "GET", f"/{saved}")["extra"])
    assert extra == {**dict.fromkeys(EXTRA_FIELDS), "folder_id": FOLDER_ID, "timeout": 30}


def test_a_dag_searches_with_the_saved_connection(saved: str, airflow_home: Path, tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    plan = [{"dag_id": "yandex_vision_gate", "conf": {"images": [f"file://{pictures}/cat.jpg"]}}]
    output = python(["-m", "tests.support.run_dags", str(EXAMPLES)], airflow_home, json.dumps(plan))
    [outcome] = json.loads(output.splitlines()[-1])
    assert outcome["state"] == "success"
    assert outcome["xcoms"]["search[-1]"]["found"] == 1
    assert API_KEY not in output


class TestTestButton:
    def test_accepts_a_good_key(self, page: ConnectionsPage, saved: str, emulator: str) -> None:
        assert page.test(saved) == f"Test Connection Successful{emulator} accepts the API key"

    def test_names_a_wrong_key(self, page: ConnectionsPage, emulator: str) -> None:
        url = urlsplit(emulator)
        fields = {"Base URL": f"http://{url.hostname}", "Port": str(url.port), "API key": "AQVN-nobody-s"}
        save(page, "wrong", fields)
        assert re.match("Test Connection Failed ?The API key is wrong, deleted or disabled: ", page.test("wrong"))

    def test_says_that_the_service_is_unreachable(self, page: ConnectionsPage) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        save(page, "unreachable", {"Base URL": "http://127.0.0.1", "Port": str(port), "API key": API_KEY})
        assert page.test("unreachable").startswith(
            "Test Connection FailedThe host is unreachable or unavailable: "
            f"no reply from http://127.0.0.1:{port}/vision/v1/batchAnalyze: Connection refused"
        )

    def test_accepts_an_authorized_key(self, page: ConnectionsPage, cloud: Cloud) -> None:
        key = json.dumps(json.loads(authorized_key()))
        fields = {"Base URL": "http://127.0.0.1", "Port": str(cloud.server.port)}
        save(page, "authorized", fields, {"Authorized key, JSON": key, "IAM URL": cloud.url})
        assert page.test("authorized") == (
            f"Test Connection Successful{cloud.url} accepts "
            f"the authorized key of service account {ACCOUNT} (service_account_json)"
        )
        shown = page.browser.page_source
        page.edit("authorized")
        assert not shows_secret(f"{shown}{page.browser.page_source}{api(page.url, 'GET', '/authorized')}")

    def test_accepts_the_service_account_of_the_machine(self, page: ConnectionsPage, cloud: Cloud) -> None:
        page.add("machine", "Yandex Vision")
        page.field("Base URL").send_keys("http://127.0.0.1")
        page.field("Port").send_keys(str(cloud.server.port))
        page.unfold("Extra Fields")
        page.switch("Use the service account of the machine")
        page.save()
        page.open()
        assert json.loads(api(page.url, "GET", "/machine")["extra"])["metadata_token"] is True
        assert page.test("machine") == (
            f"Test Connection Successful{cloud.url} accepts the service account of this machine (metadata_token)"
        )

    def test_names_the_fields_of_two_kinds(self, page: ConnectionsPage) -> None:
        save(page, "mixed", {"API key": API_KEY, "Port": "443"}, {"Yandex Cloud connection": "yc"})
        assert page.test("mixed") == (
            "Test Connection Failedpassword and yandex_cloud_conn_id are set, each a kind of credentials: use only one"
        )

    @pytest.mark.skipif(version("apache-airflow") not in ("3.3.1", "3.3.2"), reason="a bug of Airflow 3.3.1 and 3.3.2")
    def test_needs_a_port(self, page: ConnectionsPage) -> None:
        """If this fails after an update of Airflow, the placeholder of the port need not mention it."""
        save(page, "no-port", {"Base URL": "http://127.0.0.1", "API key": API_KEY})
        assert "Bad Request" in page.test("no-port")


def test_no_secret_is_in_any_file(saved: str, airflow_home: Path) -> None:
    assert "/api/v2/connections" in (airflow_home / "api-server.log").read_text()
    for file in airflow_home.rglob("*"):
        assert not file.is_file() or not shows_secret(file.read_bytes()), file


def api(url: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    token = requests.get(f"{url}/auth/token", timeout=PATIENCE).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    reply = requests.request(method, f"{url}/api/v2/connections{path}", json=body, headers=headers, timeout=PATIENCE)
    reply.raise_for_status()
    return reply.json()
