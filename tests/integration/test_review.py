"""The review example, answered through Airflow's own form in a real browser."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from sqlite3 import connect
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import element_to_be_clickable, invisibility_of_element
from selenium.webdriver.support.wait import WebDriverWait
from sqlalchemy import create_engine

from airflow_provider_yandex_vision.results.findings import Findings
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult
from tests.integration.celery_cluster import Cluster, end, fresh_database
from tests.integration.conftest import EXAMPLES
from tests.integration.connections_page import PATIENCE, chromium

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        tuple(map(int, version("apache-airflow").split(".")[:2])) < (3, 3), reason="the form of Airflow 3.3"
    ),
]

DAG = "yandex_vision_review"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"> [a](javascript:alert) {{ 7 * 7 }} **b** ::endgroup::"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with open pages on three sites, which a report has shown."""
    database = tmp_path_factory.mktemp("results") / "results.db"
    engine = create_engine(f"sqlite:///{database}")
    table = ResultTable(engine, "picture_copies", TaskKey("dag", "run", "search"))
    table.prepare(create=True)
    sites = ("partner.example", "pirate.example", "fan.example")
    matches = tuple(
        CopyMatch("", f"https://{site}/", HOSTILE, "", rank, site, site) for rank, site in enumerate(sites, start=1)
    )
    now = datetime.now(timezone.utc)
    table.write([CopySearchResult("s3://a/1.jpg", "found", 3, matches, sha256="1" * 64, searched_at=now)])
    findings = Findings(engine, "picture_copies")
    findings.prepare()
    shown = [row["finding_id"] for row in findings.select("new", "report", "run")]
    findings.mark_reported("report", "run", shown)
    engine.dispose()
    return database


@pytest.fixture(scope="module")
def airflow(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """All components, with the example."""
    home = tmp_path_factory.mktemp("review")
    (home / "dags").mkdir()
    shutil.copy(EXAMPLES / f"{DAG}.py", home / "dags")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with fresh_database() as database:
        settings = {
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__API_AUTH__JWT_SECRET": "signs the tokens of this test and of nothing else in the world",
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.render_as_string(hide_password=False),
            "AIRFLOW_CONN_RESULTS_DB": json.dumps({"conn_type": "sqlite", "host": str(results)}),
        }
        cluster = Cluster(home, settings, create_engine(database))
        try:
            cluster.airflow("db", "migrate")
            cluster.start("api-server", "api-server", "--host", "127.0.0.1", "--port", str(port))
            for component in ("scheduler", "dag-processor"):
                cluster.start(component, component)
            yield cluster
        finally:
            end(cluster.components.values())
            cluster.database.dispose()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    with chromium(tmp_path / "profile") as chrome:
        yield chrome


def find(browser: Chrome, xpath: str) -> WebElement:
    return WebDriverWait(browser, PATIENCE).until(element_to_be_clickable((By.XPATH, xpath)))


def field(browser: Chrome, label: str) -> WebElement:
    group = f"//*[@data-scope='field'][@data-part='root'][.//label[starts-with(normalize-space(), '{label}')]]"
    return find(browser, f"{group}//input")


def test_sites_are_decided_in_the_form_of_airflow(airflow: Cluster, results: Path, browser: Chrome) -> None:
    known = "SELECT 1 FROM serialized_dag WHERE dag_id = :dag_id"
    airflow.wait(lambda: airflow.query(known, dag_id=DAG), "the DAG was known")
    airflow.airflow("dags", "trigger", DAG)
    asked = "SELECT run_id FROM task_instance WHERE task_id = 'review' AND state = 'awaiting_input'"
    airflow.wait(lambda: airflow.query(asked), "the form was there")
    [(run_id,)] = airflow.query(asked)
    url = airflow.environment["AIRFLOW__API__BASE_URL"]
    browser.get(f"{url}/dags/{DAG}/runs/{quote(run_id)}/tasks/review/mapped/0/required_actions")

    options = field(browser, "Options")
    assert HOSTILE.replace("::", "::") in browser.find_element(By.TAG_NAME, "body").text
    assert browser.title != "owned"
    for site in ("partner.example", "fan.example"):
        options.send_keys(site, Keys.ENTER)
    field(browser, "note").send_keys("contract of May")
    respond = find(browser, "//button[normalize-space()='Respond']")
    respond.click()
    WebDriverWait(browser, PATIENCE).until(invisibility_of_element(respond))

    ended = "SELECT state FROM dag_run WHERE state IN ('success', 'failed')"
    airflow.wait(lambda: airflow.query(ended), "the run ended")
    assert airflow.query(ended) == [("success",)], airflow.logs()
    with closing(connect(results)) as database:
        decided = database.execute(
            "SELECT subject, verdict, note, decided_by, decided_at FROM picture_copies_decisions ORDER BY subject"
        ).fetchall()
        still_open = database.execute("SELECT site FROM picture_copies_open").fetchall()
    assert [row[:4] for row in decided] == [
        (site, "licensed", "contract of May", "Anonymous") for site in ("fan.example", "partner.example")
    ]
    assert all(row[4] for row in decided)
    assert still_open == [("pirate.example",)]
