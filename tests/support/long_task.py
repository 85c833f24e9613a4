"""A long task in a separate process: watched, stopped halfway, resumed. For tests and benchmarks."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import NamedTuple

from sqlalchemy import create_engine, text

from tests.support.counting import CountingService
from tests.support.faulty_service import Truth, truth_about
from tests.support.pictures import png
from tests.support.secrets import API_KEY
from tests.support.watched_operator import TABLE, WINDOW, Ended, Held

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "tests" / "dags"
TIMEOUT = 2.0
PAID_AGAIN_FOR_A_STOP = WINDOW * 8 + 64
"""At most: images in flight, and those whose results are not committed yet."""

SIGNALS = {
    "execution_timeout": signal.SIGALRM,
    "on_kill() in another thread": signal.SIGUSR1,
    "SIGTERM": signal.SIGTERM,
}
"""Ways to stop the task. Airflow handles the first and the last, :class:`.WatchedOperator` the other one."""

PATIENCE = 300.0


@dataclass
class LongTask:
    """The process of the task.

    :param home: folder of the task's files; its temporary files go to ``tmp`` in it.
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
        """Wait for the end of the run."""
        record = self.home / "ended"
        self.wait(lambda: record.exists() and record.read_text().count("\n") == self.runs)
        at, by, before, after = json.loads(record.read_text().splitlines()[-1])
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
    """A run that was stopped and resumed.

    :param seconds: from the signal to the end of ``execute()``.
    :param paid: images billed by then.
    :param paid_again: of these, how many the second attempt paid for again.
    """

    seconds: float
    ended: Ended
    resumed: Ended
    paid: int
    paid_again: int


def stop_and_resume(task: LongTask, service: CountingService, name: str, number: signal.Signals, after: int) -> Stopped:
    """Send the task a signal after so many images, then run it again.

    :param name: of a folder whose images ``service`` has not seen yet.
    """
    old = service.billed
    task.begin(name)
    task.wait(lambda: service.images_billed - old.total() >= after)
    sent_at = time.time()
    os.kill(task.process.pid, number)
    ended = task.end()
    paid = service.billed - old
    task.begin(name)
    resumed = task.end()
    paid_again = (service.billed - old - paid).keys() & paid.keys()
    return Stopped(ended.at - sent_at, ended, resumed, len(paid), len(paid_again))


@contextmanager
def long_task(home: Path, url: str, *arguments: str, **environment: str) -> Iterator[LongTask]:
    """Start the process.

    :param home: folder with the folders of images.
    :param url: of the service.
    :param arguments: a folder of DAGs, if any.
    :param environment: further variables. By default results go to a SQLite file.
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
    command = [sys.executable, "-m", "tests.support.watched_operator", *arguments]
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
    """Distinct images; their bytes depend on the folder's name."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06}.png").write_bytes(png(f"{folder.name} {number}"))
    return folder


def rows_about(folder: Path, url: str) -> Counter[bool]:
    """How many images of the folder have a row in the database, by whether the row is true."""
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
