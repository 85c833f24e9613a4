"""What Airflow's context says about the task."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.vision.models import utc_now


def task_key(context: Any, task_id: str) -> TaskKey:
    """:param context: as Airflow passes it to ``execute``."""
    task_instance = context.get("ti")
    if task_instance is None:
        return TaskKey("", f"manual__{utc_now().isoformat()}", task_id)
    map_index = task_instance.map_index
    return TaskKey(task_instance.dag_id, task_instance.run_id, task_id, -1 if map_index is None else map_index)


def run_began(context: Any) -> datetime | None:
    """Start of the DAG run.

    :param context: as Airflow passes it to ``execute``.
    """
    start: datetime | None = getattr(context.get("dag_run"), "start_date", None)
    return start
