"""What tasks that write to one table know of each other."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.database import chunks
from airflow_provider_yandex_vision.results.quota import TableLedger
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.schema import LIFETIME, LedgerTables
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.results.tasks import MEMORY, task_key
from airflow_provider_yandex_vision.search.ledger import Share
from airflow_provider_yandex_vision.vision.models import utc_now
from tests.results.samples import found, unanswered
from tests.support.fake_service import eventually

HOUR = timedelta(hours=1)
SHAS = [f"{number:064}" for number in range(8)]
LONG_DEAD = LIFETIME + timedelta(seconds=1)

Open = Callable[..., TableLedger]


@pytest.fixture
def join(engine: Engine, table: ResultTable) -> Open:
    """Another task joins. Its thread does not run, so that the test decides when it lives."""

    def join(run: str = "run", task: str = "task", share: Share = Share(), **given: Any) -> TableLedger:  # noqa: B008
        key = TaskKey("dag", run, task)
        ledger = TableLedger(engine, ResultTable(engine, table.name, key), "vision", share, **given)
        ledger.register()
        return ledger

    return join


class Rows:
    """The rows of the ledger, seen and changed without the code under test."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.tasks, self.claims = LedgerTables.named(name)

    def __call__(self, *columns: str) -> list[Any]:
        with self._engine.connect() as connection:
            rows = connection.execute(select(*(self.tasks.c[name] for name in columns)).order_by(self.tasks.c.task_id))
            return [tuple(row) if len(columns) > 1 else row[0] for row in rows]

    @property
    def claimed(self) -> set[str]:
        with self._engine.connect() as connection:
            return {row[0] for row in connection.execute(select(self.claims.c.content_sha256))}

    def age(self, task: str, by: timedelta = LONG_DEAD) -> None:
        """As if the task had renewed its row so much earlier."""
        with self._engine.begin() as connection:
            rows = self.tasks.c
            renewed_at = connection.execute(select(rows.renewed_at).where(rows.task_id == task)).scalar_one()
            connection.execute(self.tasks.update().where(rows.task_id == task).values(renewed_at=renewed_at - by))


@pytest.fixture
def rows(engine: Engine, table: ResultTable) -> Rows:
    return Rows(engine, table.name)


def shares(*ledgers: TableLedger) -> list[Share]:
    for ledger in ledgers:
        ledger.renew()
    return [ledger.share for ledger in ledgers]


class TestShares:
    def test_living_tasks_have_equal_shares(self, join: Open) -> None:
        found = shares(*(join(task=str(number)) for number in range(3)))
        assert sorted(found, key=lambda share: share.place) == [Share(place, 3) for place in range(3)]

    def test_ended_task_counts_no_more(self, join: Open) -> None:
        stays, ends = join(task="stays"), join(task="ends")
        ends.end()
        assert shares(stays) == [Share()]

    def test_dead_task_counts_until_it_renews_its_row(self, join: Open, rows: Rows) -> None:
        stays, sleeps = join(task="stays"), join(task="sleeps")
        rows.age("sleeps", LIFETIME / 2)
        assert shares(stays)[0].tasks == 2
        rows.age("sleeps")
        assert shares(stays)[0].tasks == 1
        assert {share.tasks for share in shares(sleeps, stays)} == {2}

    def test_only_the_clock_of_the_database_counts(self, join: Open) -> None:
        early = join(task="early", now=lambda: utc_now() - HOUR)
        late = join(task="late", now=lambda: utc_now() + HOUR)
        assert {share.tasks for share in shares(early, late)} == {2}
        assert early.claim(SHAS[:1]).elsewhere == set()
        assert late.claim(SHAS[:1]).elsewhere == set(SHAS[:1])

    def test_another_connection_has_a_quota_of_its_own(self, engine: Engine, table: ResultTable, join: Open) -> None:
        other = TableLedger(engine, table, "other", Share())
        other.register()
        assert shares(join(), other) == [Share(), Share()]

    def test_shard_has_its_part_until_the_living_are_counted(self, join: Open) -> None:
        shard = join(share=Share(2, 8))
        assert shard.share == Share(2, 8)
        assert shares(shard) == [Share()]

    def test_newcomer_takes_no_more_than_its_part(self, join: Open) -> None:
        join(task="first")
        assert join(task="second").share.tasks == 2

    def test_next_attempt_takes_the_place_of_a_killed_one(self, join: Open) -> None:
        join()
        assert shares(join()) == [Share()]

    @pytest.mark.integration
    @pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)
    def test_task_ends_while_another_one_is_being_charged(self, engine: Engine, join: Open, rows: Rows) -> None:
        join(task="charged")
        ending = join(task="ending")
        with engine.begin() as connection, ThreadPoolExecutor(1) as pool:
            charged = rows.tasks.c.task_key == task_key(TaskKey("dag", "run", "charged"))
            connection.execute(rows.tasks.update().where(charged).values(paid=1))
            pool.submit(ending.end).result(timeout=10)
        assert rows("task_id", "ended") == [("charged", False), ("ending", True)]

    @pytest.mark.integration
    def test_thread_renews_the_row_until_the_task_ends(self, join: Open, rows: Rows) -> None:
        ledger, other = join(task="a"), join(task="b")
        ledger.open()
        before = rows("renewed_at")[0]
        eventually(lambda: rows("renewed_at")[0] > before and ledger.share.tasks == 2)
        other.end()
        eventually(lambda: ledger.share.tasks == 1)
        ledger.close()
        assert rows("ended") == [True, True]

    def test_task_that_is_stopped_before_its_thread_starts_counts_no_more(self, join: Open, rows: Rows) -> None:
        join().close()
        assert rows("ended") == [True]


class TestClaims:
    def test_content_that_a_living_task_has_claimed_is_elsewhere(self, join: Open) -> None:
        first, second = join(task="a"), join(task="b")
        assert first.claim(SHAS[:4]).elsewhere == set()
        assert second.claim(SHAS[2:6]).elsewhere == set(SHAS[2:4])
        assert first.claim(SHAS).elsewhere == set(SHAS[4:6])

    @pytest.mark.parametrize("end", ["dies", "ends", "is tried again"])
    def test_claims_end_with_their_attempt(self, join: Open, rows: Rows, end: str) -> None:
        first, second = join(task="a"), join(task="b")
        first.claim(SHAS)
        assert second.claim(SHAS).elsewhere == set(SHAS)
        if end == "dies":
            rows.age("a")
        elif end == "ends":
            first.end()
        else:
            join(task="a")
        assert second.claim(SHAS).elsewhere == set()
        assert first.claim(SHAS).elsewhere == set(SHAS)

    def test_answer_that_was_waited_for_is_not_paid_again(self, join: Open, table: ResultTable, rows: Rows) -> None:
        first, second = join("run 1", "a"), join("run 2", "b")
        first.claim(SHAS[:1])
        answer = found("s3://b/1", "page", at=utc_now(), sha256=SHAS[0])
        table.write([answer])
        first.settle([answer])
        claimed = second.claim(SHAS[:1])
        assert [each.matches for each in claimed.answers.values()] == [answer.matches]
        assert claimed.elsewhere == set()
        assert (rows("paid"), rows.claimed) == ([1, 0], set())

    def test_content_that_failed_is_free_for_others(self, join: Open) -> None:
        first, second = join(task="a"), join(task="b")
        first.claim(SHAS[:1])
        first.settle([unanswered("s3://b/1", "failed", sha256=SHAS[0])])
        assert second.claim(SHAS[:1]).elsewhere == set()
        assert first.claim(SHAS[:1]).elsewhere == set(SHAS[:1])

    @pytest.mark.integration
    @pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
    @pytest.mark.parametrize("dead", [False, True], ids=["free", "of a dead task"])
    def test_tasks_that_race_never_claim_the_same(self, join: Open, rows: Rows, dead: bool) -> None:
        contents = [f"{number:064}" for number in range(96)]
        if dead:
            join(task="dead").claim(contents)
            rows.age("dead")

        def claim(ledger: TableLedger) -> list[str]:
            ours: list[str] = []
            order = random.sample(contents, len(contents))
            for asked in chunks(order, 8):
                ours += set(asked).difference(ledger.claim(asked).elsewhere)
            return ours

        with ThreadPoolExecutor(4) as pool:
            ours = pool.map(claim, [join(task=str(number)) for number in range(4)])
        assert sorted(chain.from_iterable(ours)) == contents


class TestBudget:
    def test_what_may_have_been_billed_is_charged_once(self, join: Open, table: ResultTable, rows: Rows) -> None:
        ledger = join()
        ledger.claim(SHAS)
        assert rows("paid") == [8]
        results = [
            found("s3://b/0", sha256=SHAS[0]),
            unanswered("s3://b/1", "rejected", sha256=SHAS[1]),
            unanswered("s3://b/2", "failed", sha256=SHAS[2]),
            unanswered("s3://b/copy of 2", "failed", sha256=SHAS[2]),
            unanswered("s3://b/unread", "failed"),
        ]
        lost = replace(unanswered("s3://b/3", "failed", sha256=SHAS[3]), error_code="NO_REPLY")
        ledger.settle([*results, lost])
        assert rows("paid") == [6]
        assert rows.claimed == set(SHAS[4:])

    def test_next_attempt_knows_what_was_paid(self, join: Open) -> None:
        join().claim(SHAS)
        assert join().paid == 8
        assert (join(run="other").paid, join(task="other").paid) == (0, 0)


class TestMemory:
    def test_answers_since_the_run_began_are_its_own(self, join: Open, table: ResultTable) -> None:
        join("killed")
        table.write([found("s3://b/1", at=utc_now(), sha256=SHAS[0])])
        assert join("killed").claim(SHAS[:1]).answers.keys() == {SHAS[0]}
        assert join("later").claim(SHAS[:1]).answers == {}

    def test_tasks_of_a_run_that_start_late_have_its_beginning(self, join: Open, table: ResultTable) -> None:
        join(task="first")
        table.write([found("s3://b/1", at=utc_now(), sha256=SHAS[0])])
        assert join(task="late").claim(SHAS[:1]).answers.keys() == {SHAS[0]}

    @pytest.mark.parametrize(("began", "is_known"), [(-HOUR, True), (HOUR, False)], ids=["before", "clock ahead"])
    def test_start_of_the_dag_run_is_its_beginning(
        self, join: Open, table: ResultTable, began: timedelta, is_known: bool
    ) -> None:
        table.write([found("s3://b/1", at=utc_now() - HOUR / 2, sha256=SHAS[0])])
        ledger = join(run_began=utc_now() + began)
        assert bool(ledger.claim(SHAS[:1]).answers) is is_known
        assert ledger.began <= utc_now()

    def test_recheck_after_reaches_further_back(self, join: Open, table: ResultTable) -> None:
        table.write([found("s3://b/1", at=utc_now() - HOUR, sha256=SHAS[0])])
        assert join("a", recheck_after=2 * HOUR).claim(SHAS[:1]).answers.keys() == {SHAS[0]}
        assert join("b", recheck_after=HOUR / 2).claim(SHAS[:1]).answers == {}

    def test_what_nobody_will_ask_for_is_forgotten(self, join: Open, rows: Rows) -> None:
        join(task="old").claim(SHAS)
        rows.age("old", MEMORY - HOUR)
        join(task="a")
        assert rows("task_id") == ["a", "old"]
        rows.age("old", 2 * HOUR)
        join(task="b")
        assert rows("task_id") == ["a", "b"]
        assert rows.claimed == set()


class TestOutOfReach:
    def test_task_goes_on_and_says_so_once(
        self, join: Open, rows: Rows, engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        ledger = join(share=Share(0, 4))
        rows.tasks.drop(engine)
        ledger.renew()
        assert ledger.claim(SHAS).elsewhere == set()
        ledger.settle([found("s3://b/1", sha256=SHAS[0])])
        ledger.renew()
        ledger.end()
        assert ledger.share == Share(0, 4)
        assert [record.getMessage()[:63] for record in caplog.records] == [
            "Going on without word from other tasks, with 1/4 of the limits: "[:63]
        ]

    def test_task_that_cannot_register_takes_its_part(self, join: Open, rows: Rows, engine: Engine) -> None:
        rows.tasks.drop(engine)
        ledger = join(share=Share(0, 4))
        assert (ledger.share, ledger.paid) == (Share(0, 4), 0)
        assert timedelta(0) <= ledger.fresh_for < HOUR
