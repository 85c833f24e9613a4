"""How much of a quota the tasks use that write to one table, from the first 30 seconds to the end."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks.pictures import picture
from benchmarks.processes import Served, service
from benchmarks.report import AtLeast, AtMost, figure, show
from benchmarks.service import Behaviour, Statistics
from benchmarks.tasks import Task, environment, fresh_table

QUOTA = 10.0
"""Requests per second."""
PER_REQUEST = 8
IMAGE_BYTES = 2_000
SHARDS = 8
LONG_SHARDS = 3
TIMES_AS_LONG = 4
BEGINNING = 30.0
SECONDS_BETWEEN_LOOKS = 0.25


@dataclass(frozen=True)
class Case:
    """
    :param shares: of all images, for each task.
    :param workers: tasks that run at once.
    :param dags: of which each has all the shards.
    """

    name: str
    shares: tuple[int, ...]
    workers: int
    dags: int = 1


CASES = (
    Case("8 shards on 2 workers", (1,) * SHARDS, 2),
    Case("3 of 8 shards 4 times as long", (TIMES_AS_LONG,) * LONG_SHARDS + (1,) * (SHARDS - LONG_SHARDS), SHARDS),
    Case("two DAGs on one table", (1,), 2, dags=2),
)


def report(seconds: float, database: str) -> None:
    """:param seconds: that each case takes if the quota is used in full."""
    rows = [row for case in CASES for row in _rows(case, seconds, database)]
    show(f"a quota of {QUOTA:g} requests/s, tasks on one table, {database}", rows)


def _rows(case: Case, seconds: float, database: str) -> list[list[str]]:
    with tempfile.TemporaryDirectory() as home, service(Behaviour(latency=0.1, quota=QUOTA)) as served:
        os.environ["AIRFLOW_HOME"] = home
        images = int(QUOTA * PER_REQUEST * seconds) // case.dags
        folders = [_pictures(Path(home, f"dag_{dag}"), case.shares, images) for dag in range(case.dags)]
        with fresh_table(database, Path(home)) as (url, table):
            variables = environment(served.host, url)
            tasks = [
                Task(
                    images=folder,
                    table=table,
                    dag=folder.name,
                    map_index=shard,
                    shards=len(case.shares),
                    requests_per_second=QUOTA,
                )
                for folder in folders
                for shard in range(len(case.shares))
            ]
            with ThreadPoolExecutor(case.workers) as workers:
                running = [workers.submit(_run, task, variables) for task in tasks]
                looks = list(_watch(served, lambda: all(task.done() for task in running)))
            for task in running:
                task.result()
    return _figures(case.name, looks)


def _run(task: Task, variables: dict[str, str]) -> None:
    process = task.start(variables)
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"{task} ended with {process.exitcode}")


def _watch(served: Served, is_over: Callable[[], bool]) -> Iterator[Statistics]:
    while not is_over():
        yield served.statistics()
        time.sleep(SECONDS_BETWEEN_LOOKS)
    yield served.statistics()


def _figures(name: str, looks: Iterable[Statistics]) -> list[list[str]]:
    *_, last = looks = list(looks)
    begun = next(look for look in looks if look.seconds >= min(BEGINNING, last.seconds / 2))
    ended = next(look for look in looks if look.accepted == last.accepted)
    used = (ended.accepted - begun.accepted) / (QUOTA * max(ended.seconds - begun.seconds, SECONDS_BETWEEN_LOOKS)) * 100
    return [
        figure(f"% used, {name}", used, AtLeast(95)),
        figure("  % of the requests throttled", last.throttled / last.requests * 100, AtMost(5)),
    ]


def _pictures(folder: Path, shares: tuple[int, ...], images: int) -> Path:
    """Files whose names fall into the shards by these shares."""
    folder.mkdir()
    left = {shard: images * share // sum(shares) for shard, share in enumerate(shares)}
    numbers = count()
    while any(left.values()):
        number = next(numbers)
        file = folder / f"{number:07}.jpg"
        digest = hashlib.sha256(f"file://{file}".encode()).digest()
        shard = int.from_bytes(digest[:8], "big") % len(shares)
        if left[shard]:
            left[shard] -= 1
            file.write_bytes(picture(int.from_bytes(digest[:6], "big"), IMAGE_BYTES))
    return folder
