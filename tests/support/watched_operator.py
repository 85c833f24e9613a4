"""The operator as a long task, in a process that is watched from outside: see :mod:`tests.support.long_task`.

``python -m tests.support.watched_operator`` is that process. It reads names of runs, one a line, and for each runs the operator
over the folder of pictures of that name: bare, or as a task of Airflow's where a folder of DAGs is given.
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
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.vision import RetryPolicy
from tests.integration.run_dags import dags_of

TABLE = "long_task"
WINDOW = 16


class WatchedOperator(YandexVisionCopySearchOperator):
    """Writes down what its process holds before a run and after it, however that ends.

    SIGUSR1 has another thread call :meth:`on_kill`.
    """

    @cached_property
    def hook(self) -> YandexVisionHook:
        """With a cut of its own for a ``Retry-After`` of hours: two minutes are long."""
        hook = super().hook
        hook.settings = replace(hook.settings, retries=RetryPolicy(max_retry_after=1.0))
        return hook

    def execute(self, context: Any) -> dict[str, Any]:
        killer = threading.Thread(target=self.on_kill)
        signal.signal(signal.SIGUSR1, lambda *_: killer.start())
        before, ended_by = held(), None
        try:
            return super().execute(context)
        except BaseException as error:
            ended_by = type(error).__name__
            raise
        finally:
            ended = time.time()
            if killer.ident:
                killer.join()
            note(Ended(ended, ended_by, before, held()))


class Held(NamedTuple):
    """What a process holds: its threads, and what its file handles lead to."""

    threads: list[str]
    handles: list[str]


class Ended(NamedTuple):
    """How a run went.

    :param at: when ``execute()`` was over, in seconds since 1970.
    :param by: the exception that it raised, if any.
    """

    at: float
    by: str | None
    before: Held
    after: Held

    @property
    def left(self) -> list[str]:
        """Threads and handles that were not there before, those of deleted files among them."""
        return [
            name
            for before, after in zip(self.before, self.after, strict=True)
            for name in (Counter(after) - Counter(before)).elements()
        ]


def operator(pictures: str) -> WatchedOperator:
    return WatchedOperator(
        task_id="search",
        images=f"file://{os.environ['LONG_TASK_HOME']}/{pictures}/",
        table=TABLE,
        sql_conn_id="results_db",
        requests_per_second=1e6,
        max_concurrent_requests=WINDOW,
        execution_timeout=timedelta(hours=1),
    )


def held() -> Held:
    handles = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that the listing itself took
            handles.append(os.readlink(f"/proc/self/fd/{number}").partition(":[")[0])
    return Held(sorted(thread.name for thread in threading.enumerate()), sorted(handles))


def note(ended: Ended) -> None:
    with Path(os.environ["LONG_TASK_HOME"], "ended").open("a") as notes:
        notes.write(f"{json.dumps(ended)}\n")


def run_bare(name: str) -> None:
    context: Any = {"ti": SimpleNamespace(dag_id="dag", run_id=name, task_id="search", map_index=-1)}
    operator(name).execute(context)


def runs_of_dag(folder: Path) -> Callable[[str], None]:
    from airflow.utils.db import initdb

    initdb()
    dag = dags_of(folder)["long_task"]
    dates = inspect.signature(dag.test).parameters.keys() & {"run_after", "logical_date", "execution_date"}

    def run(day: str) -> None:
        try:
            dag.test(**dict.fromkeys(dates, datetime.fromisoformat(day).replace(tzinfo=timezone.utc)))
        except BaseException as error:
            # Before Airflow 3 it does not catch what ends a task.
            if not type(error).__name__.startswith("AirflowTask"):
                raise

    return run


def main() -> None:
    run = runs_of_dag(Path(sys.argv[1])) if sys.argv[1:] else run_bare
    for line in sys.stdin:
        run(line.strip())


if __name__ == "__main__":
    main()
