"""Every example DAG, run for real: what the tasks return and what the tables contain."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from airflow_provider_yandex_vision.emulator.pages import index_pages
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Service
from tests.integration.conftest import EXAMPLES, python
from tests.support.photographs import make_pictures, make_web
from tests.support.secrets import API_KEY

pytestmark = pytest.mark.integration

BUCKET = "examples"
"""Not the bucket of other tests: moto keeps buckets for all servers of a process."""


@dataclass
class Ran:
    """Outcomes of the DAG runs, in the order of the plan."""

    pictures: Path
    results: Path
    outcomes: list[dict[str, Any]]
    billed: dict[str, int]
    output: str

    def query(self, sql: str) -> list[Any]:
        with sqlite3.connect(self.results) as database:
            return database.execute(sql).fetchall()


@pytest.fixture(scope="module")
def bucket(pictures: Path) -> Iterator[str]:
    """An S3 server with the images in ``catalog/``. :return: its endpoint."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="ru-central1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ru-central1"})
    for picture in pictures.iterdir():
        client.upload_file(str(picture), BUCKET, f"catalog/{picture.name}")
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("mine") / "pictures")


@pytest.fixture(scope="module")
def ran(airflow_home: Path, pictures: Path, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Seven DAG runs in one process, since Airflow is slow to start."""
    folder, bucket_conf = {"images": f"file://{pictures}/"}, {"bucket": BUCKET, "pattern": "catalog/**"}
    plan = [
        ("yandex_vision_monitor", folder),
        ("yandex_vision_report", {}),
        ("yandex_vision_monitor", folder),
        ("yandex_vision_gate", {"images": [f"file://{pictures}/rocket.jpg"]}),
        ("yandex_vision_gate", {"images": [f"file://{pictures}/rocket.jpg", f"file://{pictures}/cat.jpg"]}),
        ("yandex_vision_backfill", {**folder, "table": "backfilled"}),
        ("yandex_vision_object_storage", bucket_conf),
    ]
    results = tmp_path_factory.mktemp("results") / "results.db"
    service = Service(index_pages(make_web(tmp_path_factory.mktemp("web"))), api_key=API_KEY)
    storage = {"endpoint_url": bucket, "region_name": "ru-central1"}
    with running(service) as url:
        output = python(
            ["-m", "tests.support.run_dags", str(EXAMPLES)],
            airflow_home,
            json.dumps([{"dag_id": dag_id, "conf": conf} for dag_id, conf in plan]),
            AIRFLOW_CONN_YANDEX_VISION_DEFAULT=json.dumps(
                {"conn_type": "yandex_vision", "password": API_KEY, "host": url}
            ),
            AIRFLOW_CONN_RESULTS_DB=json.dumps({"conn_type": "sqlite", "host": str(results)}),
            AIRFLOW_CONN_YANDEX_STORAGE=json.dumps(
                {"conn_type": "aws", "login": "key", "password": "secret", "extra": storage}
            ),
        )
    billed: Any = service.statistics()["billed"]
    return Ran(pictures, results, json.loads(output.splitlines()[-1]), billed, output)


def test_every_run_succeeds(ran: Ran) -> None:
    assert [outcome["state"] for outcome in ran.outcomes] == ["success"] * 7


def test_the_monitor_announces_new_matches_for_the_report(ran: Ran) -> None:
    first, report, *_ = ran.outcomes
    assert first["asset_events"] == [{"new_matches": 5, "found": 3}]
    pages = report["xcoms"]["new_pages[-1]"]
    assert len(pages) == 5
    assert f"{ran.pictures}/coffee.jpg" in str(pages)
    assert "https://cafe.example/" in str(pages)


def test_a_second_night_without_news_costs_nothing(ran: Ran) -> None:
    second = ran.outcomes[2]
    assert second["tasks"]["announce[-1]"] == "skipped"
    assert second["xcoms"]["search[-1]"]["requests"] == 0
    assert second["asset_events"] == []


def test_the_gate_holds_back_images_with_copies(ran: Ran) -> None:
    published, held = ran.outcomes[3:5]
    assert published["tasks"]["publish[-1]"] == "success"
    assert published["tasks"]["hold_back[-1]"] == "skipped"
    assert held["tasks"]["publish[-1]"] == "skipped"
    (reason,) = held["xcoms"]["hold_back[-1]"]
    assert reason.startswith(f"file://{ran.pictures}/cat.jpg: https://")


def test_the_shards_of_the_backfill_cover_every_image_once(ran: Ran) -> None:
    backfill = ran.outcomes[5]
    total = backfill["xcoms"]["total[-1]"]
    assert (total["images"], total["found"], total["rejected"]) == (7, 3, 3)
    assert sorted(key for key in backfill["tasks"] if key.startswith("search")) == [f"search[{n}]" for n in range(4)]
    assert ran.query("SELECT count(*), count(DISTINCT map_index) FROM backfilled")[0][0] == 7


def test_images_of_the_bucket_are_known_by_their_content(ran: Ran) -> None:
    summary = ran.outcomes[6]["xcoms"]["search[-1]"]
    assert (summary["images"], summary["found"], summary["duplicates"]) == (7, 3, 4)
    rows = ran.query(f"SELECT image_uri, status FROM picture_copies WHERE image_uri LIKE 's3://{BUCKET}/catalog/%'")
    assert len(rows) == 7
    assert (f"s3://{BUCKET}/catalog/cat.jpg", "found") in rows


def test_the_key_is_in_no_log_and_no_xcom(ran: Ran, airflow_home: Path) -> None:
    assert "Summary: " in ran.output
    assert API_KEY not in ran.output
    for file in airflow_home.rglob("*"):
        assert not file.is_file() or API_KEY.encode() not in file.read_bytes(), file
