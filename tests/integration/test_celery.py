"""The backfill for real: four independent shards on two Celery workers share one quota."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Condition
from typing import Any

import pytest
from sqlalchemy.engine import URL

from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Answer
from tests.integration.celery_cluster import PATIENCE, TASKS_PER_WORKER, WORKERS, fresh_database, running_airflow
from tests.integration.conftest import EXAMPLES
from tests.support.counting import CountingService
from tests.support.pictures import png
from tests.support.secrets import API_KEY

pytestmark = pytest.mark.integration

DAG_ID = "yandex_vision_backfill"
SHARDS = 4
REQUESTS_PER_SECOND = 10
MAX_CONCURRENT_REQUESTS = 16

IMAGES = 400
LATENESS = 0.5
"""Seconds that a request may take to arrive on a busy machine."""


class CrowdedService(CountingService):
    """Answers nothing until as many requests are waiting as all shards together may send.

    Fewer shards could not send that many, so all of them run at once. The latency then leaves time for requests that
    exceed the window.
    """

    def __init__(self) -> None:
        super().__init__(latency=1.0)
        self.arrivals: list[float] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._crowd = Condition()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        with self._crowd:
            self.arrivals.append(time.monotonic())
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            self._crowd.notify_all()
            self._crowd.wait_for(lambda: self.most_in_flight >= MAX_CONCURRENT_REQUESTS, timeout=PATIENCE)
        try:
            return super().answer(method, path, headers, body)
        finally:
            with self._crowd:
                self._in_flight -= 1


@dataclass
class Ran:
    """
    :param rows: image_uri and map_index of each row in the table.
    :param hosts: of the tasks, by map_index.
    """

    home: Path
    rows: list[Any]
    hosts: dict[int, str]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(IMAGES):
        (folder / f"{number}.png").write_bytes(png(number))
    return folder


@pytest.fixture(scope="module")
def service() -> CrowdedService:
    return CrowdedService()


@pytest.fixture(scope="module")
def ran(pictures: Path, service: CrowdedService, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    home, dags = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("dags")
    # Without the other examples: they have schedules and would occupy the workers.
    (dags / f"{DAG_ID}.py").symlink_to(EXAMPLES / f"{DAG_ID}.py")
    conf = {"images": f"file://{pictures}/", "table": "picture_copies"}
    with (
        running(service) as host,
        fresh_database() as database,
        running_airflow(home, dags, database, **connections(host, database)) as cluster,
    ):
        cluster.run(DAG_ID, json.dumps(conf))
        rows = cluster.query("SELECT image_uri, map_index FROM picture_copies")
        hosts = cluster.query("SELECT map_index, hostname FROM task_instance WHERE task_id = 'search'")
        return Ran(home, rows, dict(hosts))


def connections(host: str, database: URL) -> dict[str, str]:
    """The connections of the example, as environment variables."""
    vision = {"conn_type": "yandex_vision", "password": API_KEY, "host": host, "extra": {"timeout": 2 * PATIENCE}}
    results = {"conn_type": "postgres", "host": database.host, "port": database.port, "schema": database.database}
    return {
        "AIRFLOW_CONN_YANDEX_VISION_DEFAULT": json.dumps(vision),
        "AIRFLOW_CONN_RESULTS_DB": json.dumps({**results, "login": database.username, "password": database.password}),
    }


def test_the_shards_write_one_row_for_every_image(ran: Ran, pictures: Path) -> None:
    assert sorted(uri for uri, _ in ran.rows) == sorted(f"file://{picture}" for picture in pictures.iterdir())
    assert {map_index for _, map_index in ran.rows} == set(range(SHARDS))


def test_each_image_is_paid_once(ran: Ran, pictures: Path, service: CrowdedService) -> None:
    contents = (picture.read_bytes() for picture in pictures.iterdir())
    assert service.billed == dict.fromkeys((sha256(content).hexdigest() for content in contents), 1)


def test_both_workers_run_tasks(ran: Ran) -> None:
    assert Counter(ran.hosts.values()) == dict.fromkeys(WORKERS, TASKS_PER_WORKER)


def test_all_shards_together_stay_within_the_window(ran: Ran, service: CrowdedService) -> None:
    assert service.most_in_flight == MAX_CONCURRENT_REQUESTS


def test_all_shards_together_stay_within_the_rate(ran: Ran, service: CrowdedService) -> None:
    """In any interval each shard sends one request at once, then at its share of the rate."""
    for first, start in enumerate(service.arrivals):
        for count, end in enumerate(service.arrivals[first:], start=1):
            assert count <= SHARDS + REQUESTS_PER_SECOND * (end - start + LATENESS)


def test_all_shards_together_use_the_rate(ran: Ran, service: CrowdedService) -> None:
    """Otherwise staying within it would prove nothing. Shards differ in size, so the last one ends alone."""
    first, *rest = service.arrivals[MAX_CONCURRENT_REQUESTS:]
    assert len(rest) / (rest[-1] - first) > REQUESTS_PER_SECOND / 2


def test_the_key_is_in_no_file_of_airflow(ran: Ran) -> None:
    files = [file.read_bytes() for file in ran.home.rglob("*") if file.is_file()]
    assert any(b"Results are in table " in content for content in files)
    assert not any(API_KEY.encode() in content for content in files)
