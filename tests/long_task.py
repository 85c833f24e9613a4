"""A long task in a process of its own: watched, stopped in the middle, run again; for tests and benchmarks.

``python -m tests.long_task`` is that process. It reads names of runs, one a line, and for each runs the operator over
the folder of pictures of that name: bare, or as a task of Airflow's where a folder of DAGS is given.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from types import SimpleNamespace
from typing import Any, NamedTuple

from sqlalchemy import create_engine, text

from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.vision import RetryPolicy
from tests.counting import CountingService
from tests.faulty_service import Truth, truth_about
from tests.integration.run_dags import dags_of
from tests.pictures import png
from tests.secrets import API_KEY

ROOT = Path(__file__).parents[1]
DAGS = Path(__file__).parent / "dags"
TABLE = "long_task"
WINDOW = 16
TIMEOUT = 2.0
PAID_AGAIN_FOR_A_STOP = WINDOW * 8 + 64
"""At most: the images under way, and those whose results were not committed yet."""

SIGNALS = {
    "execution_timeout": signal.SIGALRM,
    "on_kill() in another thread": signal.SIGUSR1,
    "SIGTERM": signal.SIGTERM,
}
"""What stops the task. Airflow handles the first and the last, :class:`WatchedOperator` the other one."""

PATIENCE = 300.0


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


@dataclass
class LongTask:
    """The process of the task.

    :param home: has ``tmp``, where temporary files go, and whatever else belongs to the task.
    """

    home: Path
    process: Popen[str]
    runs: int = 0

    def begin(self, name: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        self.runs += 1

    def end(self) -> Ended:
        """Wait until the run has ended."""
        notes = self.home / "ended"
        self.wait(lambda: notes.exists() and notes.read_text().count("\n") == self.runs)
        at, by, before, after = json.loads(notes.read_text().splitlines()[-1])
        return Ended(at, by, Held(*before), Held(*after))

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.home / "log").read_text()[-5000:])
            time.sleep(0.005)

    def temporary_files(self) -> list[str]:
        return os.listdir(self.home / "tmp")


class Stopped(NamedTuple):
    """A run that was stopped, and resumed.

    :param seconds: from the signal until ``execute()`` was over.
    :param paid: images that the service had searched by then.
    :param paid_again: of these, how many the second attempt paid for again.
    """

    seconds: float
    ended: Ended
    resumed: Ended
    paid: int
    paid_again: int


def stop_and_resume(task: LongTask, service: CountingService, name: str, number: signal.Signals, after: int) -> Stopped:
    """Send the task a signal after so many images, and run it again.

    :param name: of a run that ``service`` does not know pictures of.
    """
    old = billed(service)
    task.begin(name)
    task.wait(lambda: service.images_billed - old.total() >= after)
    sent_at = time.time()
    os.kill(task.process.pid, number)
    ended = task.end()
    paid = billed(service) - old
    task.begin(name)
    resumed = task.end()
    paid_again = (billed(service) - old - paid).keys() & paid.keys()
    return Stopped(ended.at - sent_at, ended, resumed, len(paid), len(paid_again))


def billed(service: CountingService) -> Counter[str]:
    by_sha256: Any = service.statistics()["billed"]
    return Counter(by_sha256)


@contextmanager
def long_task(home: Path, url: str, *arguments: str, **environment: str) -> Iterator[LongTask]:
    """Start the process.

    :param home: has the pictures.
    :param url: of the service.
    :param arguments: a folder of DAGs, if any.
    :param environment: on top of what makes it run, with results in a SQLite file.
    """
    (home / "tmp").mkdir()
    vision = {"conn_type": "yandex_vision", "password": API_KEY, "host": url, "extra": {"timeout": TIMEOUT}}
    ours = {
        "TMPDIR": str(home / "tmp"),
        "LONG_TASK_HOME": str(home),
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_YANDEX_VISION_DEFAULT": json.dumps(vision),
        "AIRFLOW_CONN_RESULTS_DB": json.dumps({"conn_type": "sqlite", "host": str(home / "results.db")}),
    }
    command = [sys.executable, "-m", "tests.long_task", *arguments]
    variables = {**os.environ, **ours, **environment}
    with (home / "log").open("w") as log:
        process = Popen(command, cwd=ROOT, env=variables, stdin=PIPE, stdout=log, stderr=STDOUT, text=True)
    try:
        yield LongTask(home, process)
        process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()


def make_pictures(folder: Path, count: int) -> Path:
    """As many pictures as asked, of other bytes in a folder of another name."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06}.png").write_bytes(png(f"{folder.name} {number}"))
    return folder


def rows_about(folder: Path, url: str) -> Counter[bool]:
    """How many of the pictures in the folder have a row in the database at ``url``, by whether it is true."""
    pages: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    engine = create_engine(url)
    with engine.connect() as connection:
        for image, page in connection.execute(text(f"SELECT image_id, page_url FROM {TABLE}_matches ORDER BY rank_no")):
            pages[image] += (page,)
        columns = "image_uri, status, copy_count, error_code, image_id"
        rows = connection.execute(text(f"SELECT {columns} FROM {TABLE}")).fetchall()
    engine.dispose()
    said = {uri: Truth(status, copies, code, pages[image]) for uri, status, copies, code, image in rows}
    truth = {f"file://{file}": truth_about(hashlib.sha256(file.read_bytes()).hexdigest()) for file in folder.iterdir()}
    return Counter(said[uri] == truth[uri] for uri in said.keys() & truth.keys())


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
