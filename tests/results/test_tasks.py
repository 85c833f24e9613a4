"""When a task counts the others that write to its table."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.schema import LedgerTables
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.results.tasks import (
    SECONDS_TO_FIRST_RENEWAL,
    SECONDS_TO_FIRST_RENEWAL_OF_FOLLOWER,
    TaskRow,
)
from airflow_provider_yandex_vision.vision.models import utc_now


@pytest.mark.parametrize(
    ("run", "task", "has_ended", "seconds"),
    [
        ("run", "task", True, SECONDS_TO_FIRST_RENEWAL_OF_FOLLOWER),
        ("run", "task", False, SECONDS_TO_FIRST_RENEWAL),
        ("run", "other", True, SECONDS_TO_FIRST_RENEWAL),
        ("other", "task", True, SECONDS_TO_FIRST_RENEWAL),
    ],
)
def test_shard_that_follows_another_counts_the_living_soon(
    engine: Engine, table: ResultTable, run: str, task: str, has_ended: bool, seconds: float
) -> None:
    tables = LedgerTables.named(table.name)
    earlier = TaskRow(tables, TaskKey("dag", run, task, 0), "vision", "earlier")
    shard = TaskRow(tables, TaskKey("dag", "run", "task", 1), "vision", "shard")
    with engine.begin() as connection:
        earlier.register(connection, utc_now())
        if has_ended:
            earlier.end(connection)
        shard.register(connection, utc_now())
        assert shard.seconds_to_first_renewal(connection) == seconds
