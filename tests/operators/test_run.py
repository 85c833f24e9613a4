"""A run without an operator."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.compat import Stats
from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.images.convert import to_accepted
from airflow_provider_yandex_vision.operators.context import task_key
from airflow_provider_yandex_vision.operators.parameters import Parameters
from airflow_provider_yandex_vision.operators.run import CopySearchRun
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, CountError, DatabaseError
from tests.operators.conftest import IN_TABLE, Query, context

TASK = TaskKey("dag", "run 1", "search")


def images(pictures: Path) -> Parameters:
    return Parameters(images=f"file://{pictures}/")


def test_run_needs_no_operator(emulator: Service, pictures: Path) -> None:
    summary = CopySearchRun(images(pictures), TASK).run()
    assert (summary["images"], summary["found"], len(summary["results"])) == (7, 3, 7)


def test_run_writes_rows_under_its_task_key(emulator: Service, pictures: Path, database: Query) -> None:
    CopySearchRun(replace(images(pictures), **IN_TABLE), replace(TASK, map_index=4)).run()
    rows = database("SELECT DISTINCT dag_id, run_id, task_id, map_index FROM copies")
    assert rows == [("dag", "run 1", "search", 4)]


def test_settings_replace_those_of_the_parameters(emulator: Service, pictures: Path) -> None:
    settings = replace(images(pictures).settings, max_image_bytes=1)
    summary = CopySearchRun(images(pictures), TASK, settings).run()
    assert summary["rejected"] == 7


def test_default_parameters_give_the_hook_s_settings() -> None:
    ours, theirs = Parameters(images="x"), YandexVisionHook()
    assert ours.yandex_vision_conn_id == theirs.yandex_vision_conn_id
    names = {field.name for field in fields(Settings)} - {"backoff"}
    assert [getattr(ours.settings, name) for name in names] == [getattr(theirs.settings, name) for name in names]


def test_parameters_reach_the_settings() -> None:
    parameters = Parameters(images="x", max_image_bytes=5, max_request_bytes=6, convert_images=True)
    settings = parameters.settings
    assert (settings.max_image_bytes, settings.max_request_bytes, settings.convert) == (5, 6, to_accepted)


def test_shard_has_its_part_of_rate_and_window() -> None:
    share = Parameters(images="x", shard="1", shards="4").share
    assert (share.rate(10), share.window(9)) == (2.5, 2)


@pytest.mark.parametrize("wrong", [{"shard": None}, {"shard": -1}, {"shards": "many"}, {"max_images": -1}])
def test_parameters_are_validated_when_they_are_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Parameters(images="x", **wrong)


def test_lost_image_is_an_error_that_does_not_quote_the_web(
    emulator: Service, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counts, "add", lambda *_: None)
    with pytest.raises(CountError, match="7 images were listed, but 0 are accounted for") as caught:
        CopySearchRun(images(pictures), TASK).run()
    assert ".example" not in str(caught.value)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_metrics_count_what_a_failed_run_has_searched(
    emulator: Service, pictures: Path, database: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError("disk full")

    counted: dict[str, int] = {}
    monkeypatch.setattr(Stats, "incr", lambda name, count=1: counted.update({name: count}), raising=False)
    monkeypatch.setattr(ResultTable, "write", fail)
    with pytest.raises(DatabaseError):
        CopySearchRun(replace(images(pictures), **IN_TABLE), TASK).run()
    assert counted["yandex_vision.images.found"] > 0


@pytest.mark.parametrize(("map_index", "stored"), [(None, -1), (-1, -1), (3, 3)])
def test_task_key_names_the_task_instance(map_index: int | None, stored: int) -> None:
    values = context()
    values["ti"].map_index = map_index
    assert task_key(values, "search") == TaskKey("dag", "run 1", "search", stored)


def test_every_run_outside_airflow_has_its_own_task_key() -> None:
    first, second = (task_key({}, "search") for _ in range(2))
    assert first.task_id == second.task_id == "search"
    assert first.run_id != second.run_id
