"""Two thousand pictures, a service with faults, and a task in a process of its own: what is left when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.vision.errors import SearchStoppedError
from airflow_provider_yandex_vision.search.search import CopySearch
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
from tests.operators.conftest import Query
from tests.operators.test_copy_search import context, operator

IMAGES = 2000


@pytest.fixture(scope="module")
def faulty() -> FaultyService:
    return FaultyService(FAULTS, share=0.01, patience=2 * TIMEOUT)


@pytest.fixture(scope="module", autouse=True)
def airflow_task(faulty: FaultyService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LongTask]:
    """A task that Airflow runs in a process of its own, however often; it takes its time to start, while others run."""
    home = tmp_path_factory.mktemp("long")
    with burning(faulty) as url, long_task(home, url, str(DAGS)) as task:
        yield task


def test_a_run_over_a_faulty_service_leaves_nothing_but_true_rows(tmp_path: Path) -> None:
    service = FaultyService(FAULTS, share=0.01, patience=2 * TIMEOUT)
    pictures = make_pictures(tmp_path / "run", IMAGES)
    with burning(service) as url, long_task(tmp_path, url) as task:
        task.begin("run")
        ended = task.end()
    assert service.injected
    assert service.told_twice == 0
    assert (ended.by, ended.left, task.temporary_files()) == (None, [], [])
    assert rows_about(pictures, f"sqlite:///{tmp_path}/results.db") == {True: IMAGES}


@pytest.mark.parametrize(
    ("way", "day", "errors"),
    [
        ("execution_timeout", "2026-01-01", {"AirflowTaskTimeout"}),
        ("on_kill() in another thread", "2026-01-02", {"SearchStoppedError"}),
        ("SIGTERM", "2026-01-03", {"AirflowTaskTerminated", "SearchStoppedError"}),  # of Airflow 2, and of 3
    ],
    ids=SIGNALS,
)
def test_a_task_stopped_in_the_middle_ends_at_once_and_goes_on_where_it_was(
    way: str, day: str, errors: set[str], faulty: FaultyService, airflow_task: LongTask
) -> None:
    """Two seconds leave no room for a hang; a hundredth of one is usual, so a busy machine has slack enough."""
    pictures = make_pictures(airflow_task.home / day, IMAGES)
    stopped = stop_and_resume(airflow_task, faulty, day, SIGNALS[way], IMAGES // 2)
    assert stopped.ended.by in errors
    assert stopped.seconds < 2
    assert stopped.ended.left == stopped.resumed.left == airflow_task.temporary_files() == []
    assert stopped.paid_again <= PAID_AGAIN_FOR_A_STOP
    assert stopped.resumed.by is None
    assert rows_about(pictures, f"sqlite:///{airflow_task.home}/results.db") == {True: IMAGES}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("arguments", [{}, {"plan_only": True}, {"table": "copies", "sql_conn_id": "results_db"}])
def test_on_kill_during_the_listing_stops_the_run_before_anything_is_paid(
    arguments: dict[str, object], emulator: Service, pictures: Path, database: Query
) -> None:
    def urls() -> Iterator[str]:
        task.on_kill()
        yield f"file://{pictures}/"

    task = operator(urls(), **arguments)
    with pytest.raises(SearchStoppedError):
        task.execute(context())
    assert emulator.statistics()["requests"] == {}


def test_on_kill_between_the_listing_and_the_search_stops_the_run_too(
    emulator: Service, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, task = YandexVisionHook.search, operator(pictures)

    def killed(hook: YandexVisionHook, *arguments: Any, **options: Any) -> CopySearch:
        task.on_kill()
        return search(hook, *arguments, **options)

    monkeypatch.setattr(YandexVisionHook, "search", killed)
    with pytest.raises(SearchStoppedError):
        task.execute(context())
    assert emulator.statistics()["requests"] == {}
