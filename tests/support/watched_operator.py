"""The operator in a process that is watched from outside, see :mod:`tests.support.long_task`.

``python -m tests.support.watched_operator`` is that process. For each line on stdin it runs the operator over the
folder of images of that name: directly or, given a folder of DAGs, as an Airflow task.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.operators.parameters import Parameters
from airflow_provider_yandex_vision.operators.run import CopySearchRun
from airflow_provider_yandex_vision.results.rows import TaskKey
from tests.support.run_dags import dags_of

TABLE = "long_task"
WINDOW = 16


class WatchedOperator(YandexVisionCopySearchOperator):
    """Records what its process holds before and after a run, however that ends.

    SIGUSR1 makes another thread call :meth:`on_kill`.
    """

    def execute(self, context: Any) -> dict[str, Any]:
        killer = threading.Thread(target=self.on_kill)
        signal.signal(signal.SIGUSR1, lambda *_: killer.start())
        before, ended_by = held(), None
        try:
            with patch("airflow_provider_yandex_vision.operators.run.CopySearchRun", impatient_run):
                return super().execute(context)
        except BaseException as error:
            ended_by = type(error).__name__
            raise
        finally:
            ended = time.time()
            if killer.ident:
                killer.join()
            record(Ended(ended, ended_by, before, held()))


def impatient_run(parameters: Parameters, task: TaskKey, began: datetime | None) -> CopySearchRun:
    """A run that waits one second if the service asks it to wait for hours."""
    return CopySearchRun(parameters, task, replace(parameters.settings, max_retry_after=1.0), began)


class Held(NamedTuple):
    """What a process holds: its threads, and what its file descriptors refer to."""

    threads: list[str]
    files: list[str]


class Ended(NamedTuple):
    """How a run ended.

    :param at: end of ``execute()``, in seconds since 1970.
    :param by: name of the exception, if any.
    """

    at: float
    by: str | None
    before: Held
    after: Held

    @property
    def left(self) -> list[str]:
        """Threads and open files that were not there before."""
        return [
            name
            for before, after in zip(self.before, self.after, strict=True)
            for name in (Counter(after) - Counter(before)).elements()
        ]


def operator(folder: str) -> WatchedOperator:
    return WatchedOperator(
        task_id="search",
        images=f"file://{os.environ['LONG_TASK_HOME']}/{folder}/",
        table=TABLE,
        sql_conn_id="results_db",
        requests_per_second=1e6,
        max_concurrent_requests=WINDOW,
        execution_timeout=timedelta(hours=1),
    )


def held() -> Held:
    files = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            files.append(os.readlink(f"/proc/self/fd/{descriptor}").partition(":[")[0])
    return Held(sorted(thread.name for thread in threading.enumerate()), sorted(files))


def record(ended: Ended) -> None:
    with Path(os.environ["LONG_TASK_HOME"], "ended").open("a") as file:
        file.write(f"{json.dumps(ended)}\n")


def run_directly(name: str) -> None:
    context: Any = {"ti": SimpleNamespace(dag_id="dag", run_id=name, task_id="search", map_index=-1)}
    operator(name).execute(context)


def runner_of_dag(folder: Path) -> Callable[[str], None]:
    from airflow.utils.db import initdb

    initdb()
    dag = dags_of(folder)["long_task"]
    dates = inspect.signature(dag.test).parameters.keys() & {"run_after", "logical_date", "execution_date"}

    def run_dag(day: str) -> None:
        try:
            dag.test(**dict.fromkeys(dates, datetime.fromisoformat(day).replace(tzinfo=timezone.utc)))
        except BaseException as error:
            # Airflow 2 does not catch what ends a task.
            if not type(error).__name__.startswith("AirflowTask"):
                raise

    return run_dag


def main() -> None:
    run_one = runner_of_dag(Path(sys.argv[1])) if sys.argv[1:] else run_directly
    for line in sys.stdin:
        run_one(line.strip())


if __name__ == "__main__":
    main()
