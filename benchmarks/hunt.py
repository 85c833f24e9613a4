"""Random faults, random stops and retries, until something is wrong: ``python -m benchmarks hunt``.

In each run two DAGs, in several shards each, search one folder for one table, while the service fails at random and
pictures come and go. Tasks are stopped at random moments and retried, at last without faults. Then every picture must
have its row, and every row must be what the service knows of that very picture. A seed repeats a run's choices, though
not the timing of its threads.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing.process import BaseProcess
from pathlib import Path

from sqlalchemy import create_engine, text

from benchmarks.tasks import DATABASES, Task, environment, fresh_table
from tests.support.faults import FAULTS
from tests.support.faulty_service import COSTLY_FAULTS, FaultyService, Truth, burning, truth_about
from tests.support.pictures import png

SHARE = 0.3
TIMEOUT = 0.5
ROUNDS = 4
PER_REQUEST = 8
UNCOMMITTED = 64
STOPS = {"none": None, "on_kill": signal.SIGUSR1, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
SECONDS_TO_END = 90.0
"""A claim of a killed task is waited for 20 seconds; nothing takes much longer than that."""
SECONDS_TO_STOP = 10.0


@dataclass
class Found:
    """What came of some runs.

    :param hangs: processes that did not end in time.
    :param errors: tasks that failed without faults.
    :param bound: how often a content may be paid again, for lost replies and stopped tasks.
    :param bad_seeds: of the runs with a finding.
    :param example: a row that is untrue, and the truth; or exit codes of tasks that failed.
    """

    runs: int = 0
    images: int = 0
    stops: Counter[str] = field(default_factory=Counter)
    faults: int = 0
    hangs: int = 0
    errors: int = 0
    lost: int = 0
    untrue: int = 0
    paid_again: int = 0
    bound: int = 0
    bad_seeds: list[int] = field(default_factory=list)
    example: str = ""

    @property
    def is_bad(self) -> bool:
        return bool(self.hangs or self.errors or self.lost or self.untrue or self.paid_again > self.bound)

    def add(self, other: Found, seed: int) -> None:
        for name in ("runs", "images", "faults", "hangs", "errors", "lost", "untrue", "paid_again", "bound"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.stops += other.stops
        if other.is_bad:
            self.bad_seeds.append(seed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks hunt", description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=900.0, help="begin no run later than this")
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="runs at once")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each has the next one")
    parser.add_argument("--database", choices=DATABASES, action="append", help="all, in turn, by default")
    options = parser.parse_args()
    databases = options.database or list(DATABASES)
    deadline = time.monotonic() + options.seconds
    found = {database: Found() for database in databases}
    # Processes, as threads that start tasks and wait for them take each other's exit codes.
    with ProcessPoolExecutor(options.at_once, multiprocessing.get_context("spawn")) as hunters:
        plan = list(zip(cycle(databases), range(options.seed, options.seed + options.runs)))
        runs = {hunters.submit(hunt, database, seed, deadline): (database, seed) for database, seed in plan}
        for run in as_completed(runs):
            if one := run.result():
                database, seed = runs[run]
                found[database].add(one, seed)
                if one.is_bad:
                    print(f"seed {seed}, {database}: {one}", flush=True)
    show(found)
    sys.exit("there are findings" if any(each.bad_seeds for each in found.values()) else None)


def hunt(database: str, seed: int, deadline: float) -> Found | None:
    """:return: None if it is too late to begin."""
    return Hunt(random.Random(seed), database).run() if time.monotonic() < deadline else None


def show(found: dict[str, Found]) -> None:
    numbers = ("runs", "images", "faults", "hangs", "errors", "lost", "untrue", "paid_again", "bound")
    print(
        "".ljust(12),
        *(name.replace("_", " ").rjust(10) for name in numbers),
        "stops".rjust(10),
        " with findings: seeds",
    )
    for database, each in found.items():
        cells = [f"{getattr(each, name):,}".rjust(10) for name in numbers]
        print(database.ljust(12), *cells, f"{each.stops.total():,}".rjust(10), f" {each.bad_seeds or 'none'}")


class Hunt:
    """One run."""

    def __init__(self, dice: random.Random, database: str) -> None:
        self._dice = dice
        self._database = database
        self._found = Found(runs=1)

    def run(self) -> Found:
        with tempfile.TemporaryDirectory() as home, fresh_table(self._database, Path(home)) as (url, table):
            folder = self._make_pictures(Path(home, "pictures"))
            service = FaultyService(FAULTS, share=SHARE, patience=2 * TIMEOUT, seed=self._dice.getrandbits(32))
            with burning(service) as host:
                self._search(list(self._tasks(folder, table)), folder, service, environment(host, url, TIMEOUT))
            self._check(folder, url, table, service)
        return self._found

    def _make_pictures(self, folder: Path) -> Path:
        folder.mkdir()
        self._found.images = self._dice.randint(50, 500)
        contents = self._dice.randint(25, self._found.images)
        for number in range(self._found.images):
            (folder / f"{number:04}.png").write_bytes(png(f"{folder} {number % contents}"))
        return folder

    def _tasks(self, folder: Path, table: str) -> Iterator[Task]:
        for dag in ("one", "other"):
            shards = self._dice.randint(1, 2)
            for shard in range(shards):
                yield Task(images=folder, table=table, dag=dag, map_index=shard, shards=shards)

    def _search(self, tasks: list[Task], folder: Path, service: FaultyService, variables: dict[str, str]) -> None:
        for left in reversed(range(ROUNDS)):
            away = self._take_away(folder) if left else {}
            service.share = SHARE if left else 0.0
            running = [(task, task.start(variables)) for task in tasks]
            for _, process in running if left else ():
                self._stop(process)
            for file, content in away.items():
                file.write_bytes(content)
            for _, process in running:
                self._wait(process, SECONDS_TO_END)
            if not left:
                codes = [process.exitcode for _, process in running]
                self._found.errors = sum(code != 0 for code in codes)
                self._found.example = f"exit codes {codes}" if self._found.errors else ""
        self._found.faults = service.injected.total()

    def _take_away(self, folder: Path) -> dict[Path, bytes]:
        files = self._dice.sample(sorted(folder.iterdir()), self._found.images // 10)
        away = {file: file.read_bytes() for file in files}
        for file in files:
            file.unlink()
        return away

    def _stop(self, process: BaseProcess) -> None:
        way = self._dice.choice(list(STOPS))
        time.sleep(self._dice.uniform(0, 1.5))
        number = STOPS[way]
        if number is None or process.pid is None or not process.is_alive():
            return
        self._found.stops[way] += 1
        os.kill(process.pid, number)
        self._wait(process, SECONDS_TO_STOP)

    def _wait(self, process: BaseProcess, seconds: float) -> None:
        process.join(seconds)
        if process.is_alive():
            self._found.hangs += 1
            if process.pid:
                os.kill(process.pid, signal.SIGUSR2)
                time.sleep(1.0)
            process.kill()
            process.join()

    def _check(self, folder: Path, url: str, table: str, service: FaultyService) -> None:
        said = rows_of(url, table)
        for file in folder.iterdir():
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            row = said.get(f"file://{file}")
            self._found.lost += row is None
            truth = (sha256, truth_about(sha256))
            if row is not None and row != truth:
                self._found.untrue += 1
                self._found.example = f"{row} in place of {truth}"
        # Two DAGs that begin one after the other pay twice.
        self._found.paid_again = sum(max(0, times - 2) for times in service.billed.values())
        lost_replies = sum(service.injected[name] for name in COSTLY_FAULTS)
        in_flight = Task.window * PER_REQUEST + UNCOMMITTED
        self._found.bound = lost_replies * PER_REQUEST + self._found.stops.total() * in_flight


def rows_of(url: str, table: str) -> dict[str, tuple[str, Truth]]:
    """What the table says, by URI: the content's hash, and the answer."""
    engine = create_engine(url)
    pages: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    with engine.connect() as connection:
        matches = f"SELECT image_id, page_url, current FROM {table}_matches ORDER BY rank_no"
        for image, page, current in connection.execute(text(matches)):
            pages[image] += (page,) if current else ()
        columns = "image_uri, content_sha256, status, copy_count, error_code, image_id"
        rows = connection.execute(text(f"SELECT {columns} FROM {table}")).fetchall()
    engine.dispose()
    return {
        uri: (sha256, Truth(status, copies, code, pages[image])) for uri, sha256, status, copies, code, image in rows
    }


if __name__ == "__main__":
    main()
