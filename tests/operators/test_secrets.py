from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from tests.support.secrets import shows_key


def test_nothing_that_a_run_leaves_behind_prints_the_key(emulator: Service, pictures: Path) -> None:
    context: Any = {"ti": SimpleNamespace(dag_id="dag", run_id="run", task_id="search", map_index=-1)}
    task = YandexVisionCopySearchOperator(task_id="search", images=f"file://{pictures}/")
    summary = task.execute(context)
    job, client = task._job, task.hook.get_conn()
    assert job is not None
    for holder in (task, job, job._search, task.hook, client, client._transport):
        assert not shows_key(f"{holder} {holder!r} {vars(holder)}")
    assert not shows_key(f"{summary} {context} {[getattr(task, name) for name in task.template_fields]}")
