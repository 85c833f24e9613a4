from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from tests.operators.conftest import context, operator
from tests.support.secrets import shows_secret


def test_nothing_that_a_run_leaves_behind_prints_the_key(emulator: Service, pictures: Path) -> None:
    task, values, hook = operator(pictures), context(), YandexVisionHook()
    summary = task.execute(values)
    run: Any = task._run
    client: Any = hook.get_conn()
    for holder in (task, run, run._search, run._search._service, hook, client, client._transport):
        assert not shows_secret(f"{holder} {holder!r} {vars(holder)}")
    client.close()
    assert not shows_secret(f"{run._parameters} {run.settings}")
    assert not shows_secret(f"{summary} {values} {[getattr(task, name) for name in task.template_fields]}")
