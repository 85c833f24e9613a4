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
from tests.support.photographs import make_pictures, make_web
from tests.support.secrets import API_KEY

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        version("apache-airflow").startswith("2."), reason="tests/test_provider_info.py covers the form of Airflow 2"
    ),
]

CONN_ID = "yandex_vision_default"
EXTRA_FIELDS = get_provider_info()["connection-types"][0]["conn-fields"]


@pytest.fixture(scope="module")
def airflow(airflow_home: Path) -> Iterator[str]:
    """An API server without access control. :return: its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
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
    interface.open()
    interface.add(CONN_ID, "Yandex Vision")
    interface.field("Base URL").send_keys(emulator)
    interface.field("API key").send_keys(API_KEY)
    interface.unfold("Extra Fields")
    interface.field("Folder ID").send_keys(FOLDER_ID)
    interface.field("Timeout").send_keys("30")
    interface.save()
    return CONN_ID


def test_the_form_has_the_fields_of_a_connection_and_no_others(page: ConnectionsPage) -> None:
    page.add(CONN_ID, "Yandex Vision")
    assert page.labels()[2:] == ["Description", "Base URL", "API key", "Folder ID", "Timeout, seconds"]


def test_the_form_explains_its_fields(page: ConnectionsPage) -> None:
    page.add(CONN_ID, "Yandex Vision")
    assert page.field("Base URL").get_attribute("placeholder") == DEFAULT_HOST
    assert "ai.vision.user" in str(page.field("API key").get_attribute("placeholder"))
    page.unfold("Extra Fields")
    for field in EXTRA_FIELDS.values():
        assert page.help(field["label"]) == field["description"]


def test_the_key_is_hidden_while_it_is_typed(page: ConnectionsPage) -> None:
    page.add(CONN_ID, "Yandex Vision")
    page.field("API key").send_keys(API_KEY)
    assert page.field("API key").get_attribute("type") == "password"
    if os.environ.get("UPDATE_SCREENSHOTS"):
        page.browser.save_screenshot(str(ROOT / "docs" / "form.png"))


def test_a_saved_key_is_not_shown(page: ConnectionsPage, saved: str, emulator: str) -> None:
    assert page.row(saved).text.split() == [saved, "yandex_vision", emulator]
    listed = page.browser.page_source
    page.edit(saved)
    assert page.field("API key").get_property("value") == "***"
    replied = api(page.url, "GET", f"/{saved}")
    assert replied["password"] == "***"
    assert API_KEY not in f"{listed}{page.browser.page_source}{replied}"


def test_extra_fields_are_saved_with_their_types(page: ConnectionsPage, saved: str) -> None:
    assert json.loads(api(page.url, "GET", f"/{saved}")["extra"]) == {"folder_id": FOLDER_ID, "timeout": 30}


def test_a_dag_searches_with_the_saved_connection(saved: str, airflow_home: Path, tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    plan = [{"dag_id": "yandex_vision_gate", "conf": {"images": [f"file://{pictures}/cat.jpg"]}}]
    output = python(["-m", "tests.support.run_dags", str(EXAMPLES)], airflow_home, json.dumps(plan))
    [outcome] = json.loads(output.splitlines()[-1])
    assert outcome["state"] == "success"
    assert outcome["xcoms"]["search[-1]"]["found"] == 1
    assert API_KEY not in output


@pytest.mark.parametrize(
    ("key", "message"),
    [
        pytest.param(API_KEY, "Test Connection Successful.*accepts the API key", id="good"),
        pytest.param("AQVN-nobody-s", "Test Connection Failed.*The API key is wrong, deleted or disabled", id="bad"),
    ],
)
def test_the_test_button_tells_a_good_key_from_a_bad_one(
    page: ConnectionsPage, emulator: str, key: str, message: str, request: pytest.FixtureRequest
) -> None:
    """With a port: Airflow 3.3.2 replies "Bad Request" to the test of a connection without one."""
    url, conn_id = urlsplit(emulator), request.node.callspec.id
    fields = {"conn_type": "yandex_vision", "host": f"http://{url.hostname}", "port": url.port, "password": key}
    api(page.url, "POST", "", {"connection_id": conn_id, **fields})
    page.open()
    assert re.match(message, page.test(conn_id))


def test_the_key_is_in_no_file(saved: str, airflow_home: Path) -> None:
    assert "/api/v2/connections" in (airflow_home / "api-server.log").read_text()
    for file in airflow_home.rglob("*"):
        assert not file.is_file() or API_KEY.encode() not in file.read_bytes(), file


def api(url: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    token = requests.get(f"{url}/auth/token", timeout=PATIENCE).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    reply = requests.request(method, f"{url}/api/v2/connections{path}", json=body, headers=headers, timeout=PATIENCE)
    reply.raise_for_status()
    return reply.json()
