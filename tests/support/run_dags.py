"""Run DAGs of a folder for real: ``python -m tests.support.run_dags FOLDER < plan.json``.

``airflow dags reserialize`` comes first if they have assets: Airflow 2.11 drops the events of assets that it does not
know, and Airflow 3.0 refuses to run. It reads the DAGs folder.

The plan is a list of ``{"dag_id": …, "conf": {…}}``. The last line printed is the list of outcomes as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def dags_of(folder: Path) -> dict[str, Any]:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag  # type: ignore[attr-defined, no-redef, unused-ignore]
    bag = DagBag(folder)
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    return dict(bag.dags)


def run(dag: Any, conf: dict[str, Any]) -> dict[str, Any]:
    dag_run = dag.test(run_conf=conf)
    instances = dag_run.get_task_instances()
    return {
        "dag_id": dag.dag_id,
        "run_id": dag_run.run_id,
        "state": str(dag_run.state),
        "tasks": {f"{ti.task_id}[{ti.map_index}]": str(ti.state) for ti in instances},
        "xcoms": {f"{ti.task_id}[{ti.map_index}]": pulled(ti) for ti in instances},
        "asset_events": asset_events(dag_run.run_id),
    }


def pulled(task_instance: Any) -> Any:
    return task_instance.xcom_pull(task_ids=task_instance.task_id, map_indexes=task_instance.map_index)


def asset_events(run_id: str) -> list[Any]:
    from airflow.settings import Session

    try:
        from airflow.models.asset import AssetEvent as Event
    except ImportError:
        from airflow.models.dataset import DatasetEvent as Event  # type: ignore[import-not-found, no-redef, unused-ignore]
    assert Session is not None
    with Session() as session:
        return [event.extra for event in session.query(Event).filter(Event.source_run_id == run_id)]


if __name__ == "__main__":
    dags = dags_of(Path(sys.argv[1]))
    outcomes = [run(dags[item["dag_id"]], item["conf"]) for item in json.load(sys.stdin)]
    print("\n" + json.dumps(outcomes))  # noqa: T201 - read by the parent process
