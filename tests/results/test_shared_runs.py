"""Runs that share a table pay for a content once, on every database."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.due import DueImages
from airflow_provider_yandex_vision.results.quota import TableLedger
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.schema import LedgerTables
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.search.ledger import Share
from airflow_provider_yandex_vision.search.progress import Counts
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.vision.models import CopySearchResult, Image, PreparedImage, utc_now
from tests.support.fake_service import NONE, FakeService, eventually, settings
from tests.support.pictures import image, png

WINDOW = 4
CONTENTS = 200
UNCOMMITTED = 16
IN_FLIGHT = WINDOW * FakeService.max_images_per_request

pytestmark = pytest.mark.integration

several_tasks = pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
"""DuckDB lets one process at a time write to a file."""


class Service(FakeService):
    """Answers at the time of the search."""

    def __init__(self) -> None:
        super().__init__(latency=0.01)

    def batch_analyze(self, images: Sequence[PreparedImage]) -> list[CopySearchResult]:
        super().batch_analyze(images)
        return [image.result(searched_at=utc_now(), **NONE) for image in images]

    def abort(self) -> None:
        """Other tasks have requests in flight."""

    @property
    def paid(self) -> tuple[int, int]:
        """Searches, and contents that were searched."""
        return self.answered.total(), len(self.answered)


class Task:
    """A task as an operator runs it, but in a thread."""

    def __init__(self, engine: Engine, name: str, run: str, shard: int = 0, shards: int = 1) -> None:
        self.table = ResultTable(engine, name, TaskKey("dag", run, "search", shard))
        self.ledger = TableLedger(engine, self.table, "vision", Share(shard, shards))
        self.counts = Counts()
        self.due = DueImages([], self.table)

    def run(self, service: FakeService, images: Iterable[Image], kill_after: int | None = None) -> Task:
        """:param kill_after: batches of results; then nothing more is stored, and nobody tells the ledger."""
        self.ledger.register()
        self.due = DueImages(images, self.table, recheck_after=self.ledger.fresh_for)
        given = settings(max_concurrent_requests=WINDOW, poll_seconds=0.02, linger=0.02)
        search = CopySearch(service, self.due, given, ledger=self.ledger)
        self.counts = search.counts
        with closing(search), heartbeat(self.ledger):
            for number, batch in enumerate(search.batches(max_results=UNCOMMITTED, max_seconds=0.05)):
                if number == kill_after:
                    return self
                self.table.write(batch)
                self.ledger.settle(batch)
        self.ledger.end()
        return self


@contextmanager
def heartbeat(ledger: TableLedger) -> Iterator[None]:
    """Renews more often than in a run, and stops with the task however that ends."""
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(0.2):
            ledger.renew()

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def pictures(contents: int, names: int = 1) -> list[Image]:
    """Each content under so many names."""
    return [image(f"memory://{name}/{number}", png(number)) for name in range(names) for number in range(contents)]


def all_at_once(service: FakeService, tasks: Sequence[Task], images: Sequence[Sequence[Image]]) -> None:
    for task in tasks:
        task.ledger.register()
    with ThreadPoolExecutor(len(tasks)) as pool:
        list(pool.map(lambda task, its: task.run(service, its), tasks, images))


@several_tasks
def test_two_runs_at_once_pay_together(engine: Engine, table: ResultTable) -> None:
    service, images = Service(), pictures(CONTENTS)
    runs = [Task(engine, table.name, run) for run in ("one", "two")]
    all_at_once(service, runs, [images, images])
    assert service.paid == (CONTENTS, CONTENTS)
    assert [run.counts.none + run.due.skipped for run in runs] == [CONTENTS, CONTENTS]


@several_tasks
def test_shards_with_the_same_contents_pay_together(engine: Engine, table: ResultTable) -> None:
    service, images = Service(), pictures(CONTENTS // 4, names=4)
    shards = [Task(engine, table.name, "run", shard, 4) for shard in range(4)]
    all_at_once(service, shards, [images[shard::4] for shard in (0, 1, 2, 3)])
    assert service.paid == (CONTENTS // 4, CONTENTS // 4)
    assert [shard.counts.none for shard in shards] == [CONTENTS // 4] * 4


def test_killed_run_and_another_one_leave_nothing_for_the_retry(engine: Engine, table: ResultTable) -> None:
    service, images = Service(), pictures(CONTENTS)
    Task(engine, table.name, "killed").run(service, images, kill_after=5)
    bury(engine, table.name)
    Task(engine, table.name, "other").run(service, images)
    paid = service.paid
    retry = Task(engine, table.name, "killed").run(service, images)
    assert service.paid == paid
    assert (retry.counts.images, retry.due.skipped) == (0, CONTENTS)


def test_kill_costs_what_was_in_flight(engine: Engine, table: ResultTable) -> None:
    service, images = Service(), pictures(CONTENTS)
    for _ in range(3):
        Task(engine, table.name, "run").run(service, images, kill_after=3)
    last = Task(engine, table.name, "run").run(service, images)
    searches, contents = service.paid
    assert contents == CONTENTS
    assert searches - contents <= 3 * (IN_FLIGHT + 2 * UNCOMMITTED)
    assert last.due.earlier.images + last.counts.images == CONTENTS
    assert last.ledger.paid + last.counts.images >= searches


@several_tasks
def test_contents_of_a_killed_task_wait_until_it_is_dead(engine: Engine, table: ResultTable) -> None:
    service, images = Service(), pictures(CONTENTS)
    Task(engine, table.name, "killed").run(service, images, kill_after=0)
    other = Task(engine, table.name, "other")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(other.run, service, images)
        eventually(lambda: other.counts.images >= CONTENTS - IN_FLIGHT - 2 * UNCOMMITTED, seconds=15)
        assert not running.done()
        bury(engine, table.name)
        assert running.result().counts.images == CONTENTS


def bury(engine: Engine, name: str) -> None:
    """As if the killed task had died long ago."""
    tasks = LedgerTables.named(name).tasks
    with engine.begin() as connection:
        connection.execute(
            tasks.update().where(tasks.c.run_id == "killed").values(renewed_at=utc_now() - timedelta(hours=1))
        )
