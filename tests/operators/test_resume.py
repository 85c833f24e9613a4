"""A task is killed halfway and resumes: nothing is lost, and no committed image is billed twice."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.emulator.server import running
from tests.operators.conftest import Query
from tests.support.counting import CountingService
from tests.support.killing import PAID_TWICE_FOR_A_KILL, attempt, make_many


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_killed_task_resumes_where_it_stopped(tmp_path: Path, database: Query) -> None:
    make_many(tmp_path / "many", 1500)
    dice = random.Random(4)
    service, kills = CountingService(latency=0.02), 0
    with running(service) as url:
        while not attempt(tmp_path / "many", url, service, dice.randint(1, 250) if kills < 6 else None):
            kills += 1
    billed: Any = service.statistics()["billed"]
    paid_twice = sum(billed.values()) - len(billed)
    assert kills == 6
    assert len(billed) == 1500
    assert paid_twice <= kills * PAID_TWICE_FOR_A_KILL
    assert database("SELECT count(*), count(DISTINCT image_id) FROM copies") == [(1500, 1500)]
    assert database("SELECT count(*) FROM copies_matches") == [(3000,)]
    assert Counter(database("SELECT status FROM copies")) == {("found",): 1500}


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_budget_is_kept_however_often_the_task_is_killed(tmp_path: Path, database: Query) -> None:
    make_many(tmp_path / "many", 600)
    service, kills = CountingService(latency=0.02), 0
    with running(service) as url:
        while not attempt(tmp_path / "many", url, service, 25 if kills < 4 else None, max_images=200):
            kills += 1
    [(rows,)] = database("SELECT count(*) FROM copies")
    [(charged,)] = database("SELECT paid FROM copies_tasks")
    assert kills == 4
    assert rows <= service.images_billed <= charged <= 200
    assert rows >= 200 - kills * PAID_TWICE_FOR_A_KILL
