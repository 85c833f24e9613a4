"""A task with two thousand images and a faulty service, in a separate process: what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.operators import run
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.vision.errors import SearchStoppedError
from tests.operators.conftest import IN_TABLE, Query, context, operator
from tests.support.faults import FAULTS
from tests.support.faulty_service import FaultyService, burning
from tests.support.long_task import (
    DAGS,
    PAID_AGAIN_FOR_A_STOP,
    SIGNALS,
    TIMEOUT,
    LongTask,
    long_task,
    make_pictures,
    rows_about,
    stop_and_resume,
)

IMAGES = 2000


@pytest.fixture(scope="module")
def faulty() -> FaultyService:
    return FaultyService(FAULTS, share=0.01, patience=2 * TIMEOUT)


@pytest.fixture(scope="module")
def airflow_task(faulty: FaultyService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LongTask]:
    """A process in which Airflow runs the task, as often as asked."""
    home = tmp_path_factory.mktemp("long")
    with burning(faulty) as url, long_task(home, url, str(DAGS)) as task:
        yield task


@pytest.mark.integration
def test_run_over_a_faulty_service_leaves_only_true_rows(tmp_path: Path) -> None:
    service = FaultyService(FAULTS, share=0.01, patience=2 * TIMEOUT)
    pictures = make_pictures(tmp_path / "run", IMAGES)
    with burning(service) as url, long_task(tmp_path, url) as task:
        task.begin("run")
        ended = task.end()
    assert service.injected
    assert service.delivered_twice == 0
    assert (ended.by, ended.left, task.temporary_files()) == (None, [], [])
    assert rows_about(pictures, f"sqlite:///{tmp_path}/results.db") == {True: IMAGES}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("way", "day", "errors"),
    [
        ("execution_timeout", "2026-01-01", {"AirflowTaskTimeout"}),
        ("on_kill() in another thread", "2026-01-02", {"SearchStoppedError"}),
        ("SIGTERM", "2026-01-03", {"AirflowTaskTerminated", "SearchStoppedError"}),  # Airflow 2, Airflow 3
    ],
    ids=SIGNALS,
)
def test_stopped_task_ends_at_once_and_resumes(
    way: str, day: str, errors: set[str], faulty: FaultyService, airflow_task: LongTask
) -> None:
    """It usually takes 10 ms. Two seconds are slack for a busy machine, but too short for anything that hangs."""
    pictures = make_pictures(airflow_task.home / day, IMAGES)
    stopped = stop_and_resume(airflow_task, faulty, day, SIGNALS[way], IMAGES // 2)
    assert stopped.ended.by in errors
    assert stopped.seconds < 2
    assert stopped.ended.left == stopped.resumed.left == airflow_task.temporary_files() == []
    assert stopped.paid_again <= PAID_AGAIN_FOR_A_STOP
    assert stopped.resumed.by is None
    assert rows_about(pictures, f"sqlite:///{airflow_task.home}/results.db") == {True: IMAGES}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("arguments", [{}, {"plan_only": True}, IN_TABLE])
def test_on_kill_while_listing_stops_before_any_request(
    arguments: dict[str, object], emulator: Service, pictures: Path, database: Query
) -> None:
    def urls() -> Iterator[str]:
        task.on_kill()
        yield f"file://{pictures}/"

    task = operator(urls(), **arguments)
    with pytest.raises(SearchStoppedError):
        task.execute(context())
    assert emulator.statistics()["requests"] == {}


def test_on_kill_just_before_the_search_stops_the_run(
    emulator: Service, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = operator(pictures)

    def search(*arguments: Any, **options: Any) -> CopySearch:
        task.on_kill()
        return CopySearch(*arguments, **options)

    monkeypatch.setattr(run, "CopySearch", search)
    with pytest.raises(SearchStoppedError):
        task.execute(context())
    assert emulator.statistics()["requests"] == {}
