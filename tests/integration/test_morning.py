"""The morning job of the examples under a real scheduler, three days in a row: what is announced, and how."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.emulator.pages import index_pages
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Service
from tests.integration.celery_cluster import Cluster, fresh_database, running_airflow
from tests.integration.conftest import EXAMPLES
from tests.integration.test_examples import connections
from tests.support.loopback import Loopback, Request, reply
from tests.support.mail import Mailbox, post_office
from tests.support.photographs import make_pictures, make_web
from tests.support.secrets import API_KEY

pytestmark = pytest.mark.integration

DAG_IDS = ("yandex_vision_monitor", "hook")

EVERY_WEEK, EVERY_NIGHT = "recheck_after=timedelta(days=7)", "recheck_after=None"
MAIL = 'EmailOperator(task_id="mail", to="{{ params.mail_to }}", subject=TEXT, html_content=BODY)'
HOOK = """HttpOperator(task_id="mail", http_conn_id="webhook", data='{"text": "' + TEXT + '"}')"""


@dataclass
class Morning:
    """Outcomes of the days, and what arrived."""

    days: list[list[dict[str, Any]]] = field(default_factory=list)
    mailbox: Mailbox = field(default_factory=Mailbox)
    hooks: list[str] = field(default_factory=list)
    mails_until: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as it is but for the time to search again, and one that calls a webhook in place of the mail."""
    folder = tmp_path_factory.mktemp("dags")
    source = (EXAMPLES / "yandex_vision_monitor.py").read_text()
    assert EVERY_WEEK in source
    assert MAIL in source
    source = source.replace(EVERY_WEEK, EVERY_NIGHT)
    (folder / "mail.py").write_text(source)
    hook = source.replace(MAIL, HOOK).replace('"yandex_vision_monitor"', '"hook"').replace("picture_copies", "hooked")
    operator = "from airflow.providers.{}.operators.{} import {}"
    (folder / "hook.py").write_text(
        hook.replace(operator.format("smtp", "smtp", "EmailOperator"), operator.format("http", "http", "HttpOperator"))
    )
    return folder


@pytest.fixture(scope="module")
def morning(dags: Path, tmp_path_factory: pytest.TempPathFactory) -> Morning:
    folder = tmp_path_factory.mktemp("morning")
    pictures, web = make_pictures(folder / "pictures"), make_web(folder / "web")
    copy_to(web, "ours.example", "news.example")
    copy_to(web, "partner.example", "news.example")
    service = Service(index_pages(web), api_key=API_KEY)
    morning = Morning()

    def take(connection: socket.socket, request: Request) -> None:
        morning.hooks.append(request.body.decode())
        connection.sendall(reply(b"ok"))

    webhook = Loopback(take)
    conf = {
        "images": f"file://{pictures}/",
        "reports": f"file://{folder}/reports",
        "own_sites": "ours.example",
        "partners": "partner.example",
        "mail_to": "legal@example.com",
    }
    home = folder / "airflow"
    home.mkdir()
    with post_office(morning.mailbox) as smtp, running(service) as url, fresh_database() as database:
        environment = {
            "AIRFLOW_CONN_SMTP_DEFAULT": smtp,
            "AIRFLOW_CONN_WEBHOOK": json.dumps({"conn_type": "http", "host": f"http://127.0.0.1:{webhook.port}"}),
            **connections(url, folder / "results.db"),
        }
        with running_airflow(home, dags, database, **environment) as airflow:
            for day in range(3):
                if day == 2:
                    copy_to(web, "pirate.example", "cafe.example")
                    copy_to(web, "partner.example/again", "cafe.example")
                    service.index = index_pages(web)
                morning.days.append(run_day(airflow, f"day-{day}", json.dumps(conf)))
                morning.mails_until.append(len(morning.mailbox.mails))
    webhook.close()
    return morning


def run_day(airflow: Cluster, run_id: str, conf: str) -> list[dict[str, Any]]:
    """Trigger both DAGs, and wait until the scheduler has run them. :return: their outcomes."""
    for dag_id in DAG_IDS:
        known = "SELECT 1 FROM serialized_dag WHERE dag_id = :dag_id"
        airflow.wait(partial(airflow.query, known, dag_id=dag_id), f"{dag_id} was known")
        airflow.airflow("dags", "trigger", dag_id, "--run-id", run_id, "--conf", conf)
    ended = "SELECT 1 FROM dag_run WHERE run_id = :run_id AND state IN ('success', 'failed')"
    airflow.wait(lambda: len(airflow.query(ended, run_id=run_id)) == len(DAG_IDS), f"{run_id} ended")
    return [outcome(airflow, dag_id=dag_id, run_id=run_id) for dag_id in DAG_IDS]


def outcome(airflow: Cluster, **run: str) -> dict[str, Any]:
    of_run = "WHERE dag_id = :dag_id AND run_id = :run_id"
    [(state,)] = airflow.query(f"SELECT state FROM dag_run {of_run}", **run)
    assert state == "success", airflow.logs()
    returned = airflow.query(f"SELECT value FROM xcom {of_run} AND task_id = 'report' AND key = 'return_value'", **run)
    return {
        "tasks": dict(map(tuple, airflow.query(f"SELECT task_id, state FROM task_instance {of_run}", **run))),
        "report": decoded(returned[0][0]) if returned else None,
    }


def decoded(value: Any) -> Any:
    """XCom as each release stores it: JSON, bytes or text of it."""
    while not isinstance(value, dict):
        value = json.loads(value if isinstance(value, str) else bytes(value))
    return value


def copy_to(web: Path, site: str, original: str) -> None:
    (web / site).mkdir(parents=True)
    shutil.copy(web / original / "copy.jpg", web / site / "copy.jpg")


def test_the_first_day_announces_what_is_elsewhere(morning: Morning) -> None:
    report = morning.days[0][0]["report"]
    assert report["text"] == (
        "3 new pages on 3 sites show 2 of your pictures: cafe.example (1), cats.example (1), news.example (1)."
    )
    mail = morning.mailbox.mails[0]
    assert (mail["To"], mail["Subject"]) == ("legal@example.com", report["text"])
    body = mail.get_body()
    assert body is not None
    assert f'<a href="{report["html_url"]}">Open the report</a>' in body.get_content()


def test_a_day_without_news_is_quiet(morning: Morning) -> None:
    mail, hook = morning.days[1]
    for outcome in (mail, hook):
        assert (outcome["tasks"]["report"], outcome["tasks"]["mail"]) == ("skipped", "skipped")
    assert morning.mails_until == [1, 1, 2]


def test_of_a_new_page_and_a_partners_one_is_announced(morning: Morning) -> None:
    report = morning.days[2][0]["report"]
    assert report["text"] == "1 new page on 1 site shows 1 of your pictures: pirate.example (1)."
    assert morning.mailbox.mails[1]["Subject"] == report["text"]


def test_a_webhook_gets_the_text(morning: Morning) -> None:
    texts = [json.loads(body)["text"] for body in morning.hooks]
    assert texts == [morning.days[day][1]["report"]["text"] for day in (0, 2)]
