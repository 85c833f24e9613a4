"""Every example DAG, run for real: what the tasks return and what the tables contain."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from email.message import EmailMessage
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.emulator.pages import index_pages
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Service
from tests.integration.conftest import EXAMPLES, python
from tests.support.mail import Mailbox, post_office
from tests.support.photographs import make_pictures, make_web
from tests.support.s3 import REGION, bucket_of
from tests.support.secrets import API_KEY

pytestmark = pytest.mark.integration

AIRFLOW_3_0 = version("apache-airflow").startswith("3.0.")


def connections(url: str, results: Path, storage: str = "") -> dict[str, str]:
    """Environment with the connections of the examples.

    :param url: of the service.
    :param storage: endpoint of an S3 server.
    """
    fields = {
        "yandex_vision_default": {"conn_type": "yandex_vision", "password": API_KEY, "host": url},
        "results_db": {"conn_type": "sqlite", "host": str(results)},
        "yandex_storage": {
            "conn_type": "aws",
            "login": "key",
            "password": "secret",
            "extra": {"endpoint_url": storage, "region_name": REGION},
        },
    }
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection) for name, connection in fields.items()}


@dataclass
class Ran:
    """Outcomes of the DAG runs, in the order of the plan."""

    pictures: Path
    results: Path
    outcomes: list[dict[str, Any]]
    billed: dict[str, int]
    output: str
    mails: list[EmailMessage]

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.results)) as database:
            return database.execute(sql).fetchall()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("mine") / "pictures")


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples, and the backfill as its docstring says to run it first."""
    folder = Path(shutil.copytree(EXAMPLES, tmp_path_factory.mktemp("dags") / "dags"))
    backfill = (folder / "yandex_vision_backfill.py").read_text()
    plan = backfill.replace("PLAN_ONLY = False", "PLAN_ONLY = True").replace('"yandex_vision_backfill"', '"plan"')
    (folder / "plan.py").write_text(plan)
    return folder


@pytest.fixture(scope="module")
def ran(airflow_home: Path, dags: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """All DAG runs in one process, since Airflow is slow to start."""
    folder = {"images": f"file://{pictures}/"}
    morning = {**folder, "reports": f"file://{tmp_path_factory.mktemp('reports')}"}
    cat, rocket, notes = (f"file://{pictures}/{name}.jpg" for name in ("cat", "rocket", "notes"))
    plan = [
        ("yandex_vision_monitor", morning),
        ("yandex_vision_monitor", morning),
        ("yandex_vision_gate", {"images": [rocket]}),
        ("yandex_vision_gate", {"images": [rocket, cat]}),
        ("yandex_vision_gate", {"images": [rocket, notes]}),
        ("yandex_vision_gate", {"images": []}),
        ("plan", {**folder, "table": "backfilled"}),
        ("yandex_vision_backfill", {**folder, "table": "backfilled"}),
        ("yandex_vision_object_storage", {"images": "s3://examples/catalog/"}),
        ("yandex_vision_gate", {"images": [cat], "own_sites": ["cats.example", "https://www.news.example/"]}),
    ]
    results, mailbox = tmp_path_factory.mktemp("results") / "results.db", Mailbox()
    service = Service(index_pages(make_web(tmp_path_factory.mktemp("web"))), api_key=API_KEY)
    python(["-m", "airflow", "dags", "reserialize"], airflow_home, AIRFLOW__CORE__DAGS_FOLDER=str(dags))
    with running(service) as url, bucket_of(pictures) as endpoint, post_office(mailbox) as smtp:
        output = python(
            ["-m", "tests.support.run_dags", str(dags)],
            airflow_home,
            json.dumps([{"dag_id": dag_id, "conf": conf} for dag_id, conf in plan]),
            AIRFLOW__CORE__DAGS_FOLDER=str(dags),
            AIRFLOW_CONN_SMTP_DEFAULT=smtp,
            **connections(url, results, endpoint),
        )
    billed: Any = service.statistics()["billed"]
    return Ran(pictures, results, json.loads(output.splitlines()[-1]), billed, output, mailbox.mails)


def test_every_run_succeeds(ran: Ran) -> None:
    assert [outcome["state"] for outcome in ran.outcomes] == ["success"] * 10


def test_the_monitor_mails_what_is_new(ran: Ran) -> None:
    report = ran.outcomes[0]["xcoms"]["report[-1]"]
    assert (report["findings"], report["sites"], report["pictures"]) == (3, 3, 2)
    assert [mail["Subject"] for mail in ran.mails] == [report["text"]]


def test_a_second_night_without_news_costs_nothing(ran: Ran) -> None:
    second = ran.outcomes[1]
    assert (second["tasks"]["report[-1]"], second["tasks"]["mail[-1]"]) == ("skipped", "skipped")
    assert second["xcoms"]["search[-1]"]["requests"] == 0


def test_the_gate_holds_back_images_with_copies(ran: Ran) -> None:
    published, held, *_ = ran.outcomes[2:]
    assert published["xcoms"]["publish[-1]"] == [f"file://{ran.pictures}/rocket.jpg"]
    assert published["xcoms"]["hold_back[-1]"] == []
    assert held["xcoms"]["publish[-1]"] == [f"file://{ran.pictures}/rocket.jpg"]
    (reason,) = held["xcoms"]["hold_back[-1]"]
    assert reason.startswith(f"file://{ran.pictures}/cat.jpg: https://")


def test_the_gate_holds_back_images_that_nobody_could_search(ran: Ran) -> None:
    held = ran.outcomes[4]
    assert held["xcoms"]["publish[-1]"] == [f"file://{ran.pictures}/rocket.jpg"]
    assert held["xcoms"]["hold_back[-1]"] == [f"file://{ran.pictures}/notes.jpg: rejected: the file is not an image"]


def test_the_gate_lets_pass_what_is_on_own_sites_only(ran: Ran) -> None:
    assert ran.outcomes[9]["xcoms"]["publish[-1]"] == [f"file://{ran.pictures}/cat.jpg"]
    assert ran.outcomes[9]["xcoms"]["hold_back[-1]"] == []


def test_the_gate_has_nothing_to_do_without_images(ran: Ran) -> None:
    assert set(ran.outcomes[5]["tasks"].values()) == {"skipped"}


def test_a_plan_of_the_backfill_costs_nothing(ran: Ran) -> None:
    total = ran.outcomes[6]["xcoms"]["total[-1]"]
    assert (total["images"], total["found"], total["none"]) == (7, 0, 0)
    assert total["requests"] >= 1
    assert total["seconds"] > 0
    assert ran.outcomes[7]["xcoms"]["total[-1]"]["skipped"] == 0


def test_the_shards_of_the_backfill_cover_every_image_once(ran: Ran) -> None:
    backfill = ran.outcomes[7]
    total = backfill["xcoms"]["total[-1]"]
    assert (total["images"], total["found"], total["rejected"]) == (7, 3, 3)
    assert sorted(key for key in backfill["tasks"] if key.startswith("search")) == [f"search[{n}]" for n in range(4)]
    assert ran.query("SELECT count(*), count(DISTINCT map_index) FROM backfilled")[0][0] == 7


def test_images_of_the_bucket_are_known_by_their_content(ran: Ran) -> None:
    summary = ran.outcomes[8]["xcoms"]["search[-1]"]
    assert (summary["images"], summary["found"], summary["duplicates"]) == (7, 3, 4)
    rows = ran.query("SELECT image_uri, status FROM picture_copies WHERE image_uri LIKE 's3://examples/catalog/%'")
    assert len(rows) == 7
    assert ("s3://examples/catalog/cat.jpg", "found") in rows


def test_the_key_is_in_no_log_and_no_xcom(ran: Ran, airflow_home: Path) -> None:
    assert "Searched 7 images" in ran.output
    # At debug level, Airflow 3.0 prints what it is asked to mask.
    lines = [line for line in ran.output.splitlines() if "msg=MaskSecret(" not in line or not AIRFLOW_3_0]
    assert API_KEY not in "\n".join(lines)
    for file in airflow_home.rglob("*"):
        assert not file.is_file() or API_KEY.encode() not in file.read_bytes(), file
