"""Tasks that write to one table. Each has a row in ``<table>_tasks``, and renews it as long as it lives."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import and_, bindparam, func, select
from sqlalchemy.engine import Connection

from airflow_provider_yandex_vision.results.claims import end_all
from airflow_provider_yandex_vision.results.clock import DatabaseTime
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.schema import LIFETIME, LedgerTables
from airflow_provider_yandex_vision.search.ledger import Share

SECONDS_TO_FIRST_RENEWAL = 2.0
"""Until then, a shard has its part of the limits: others that start with it may not be counted yet."""

SECONDS_TO_FIRST_RENEWAL_OF_FOLLOWER = 0.5
"""The same for a shard that starts where another has ended: few start at the same moment then."""

MEMORY = timedelta(days=30)
"""How long a task that ended is remembered, for a retry of it."""


class Registered(NamedTuple):
    """
    :param began: when the first task of the DAG run did.
    :param paid: images charged by earlier attempts.
    :param share: among the living tasks.
    """

    began: datetime
    paid: int
    share: Share


class TaskRow:
    """The row of one task instance, on behalf of one attempt. Times are of the database's clock.

    :param yandex_vision_conn_id: only tasks with the same connection are counted.
    """

    def __init__(self, tables: LedgerTables, task: TaskKey, yandex_vision_conn_id: str, attempt: str) -> None:
        self._tables = tables
        self._task = task
        self._key = task_key(task)
        self._conn_id = yandex_vision_conn_id
        self._attempt = attempt
        rows = tables.tasks
        own = rows.c.task_key == self._key
        # By key: MySQL locks all rows that it looks through.
        of_attempt = and_(own, rows.c.attempt == attempt)
        # Built once: that takes longer than to run them.
        self._renewal = rows.update().where(of_attempt).values(renewed_at=DatabaseTime())
        self._ending = rows.update().where(of_attempt).values(ended=True)
        self._payment = rows.update().where(own).values(paid=rows.c.paid + bindparam("images"))
        self._living = select(rows.c.task_key, rows.c.renewed_at, DatabaseTime().label("now")).where(
            rows.c.yandex_vision_conn_id == yandex_vision_conn_id, rows.c.ended.is_(False)
        )

    def register(self, connection: Connection, began: datetime) -> Registered:
        """From here on, the task counts, and claims of an earlier attempt of it end.

        :param began: start of the DAG run, by the clock of the worker.
        """
        rows = self._tables.tasks
        now = connection.execute(select(DatabaseTime())).scalar_one()
        forget(connection, self._tables, now - MEMORY)
        row = {
            "attempt": self._attempt,
            "yandex_vision_conn_id": self._conn_id,
            "renewed_at": now,
            "ended": False,
        }
        before = connection.execute(select(rows).where(rows.c.task_key == self._key)).first()
        if before:
            connection.execute(rows.update().where(rows.c.task_key == self._key).values(row))
            end_all(connection, self._tables.claims, before.attempt)
        else:
            first = {"began_at": min(began, now), "paid": 0}
            connection.execute(rows.insert().values({"task_key": self._key, **vars(self._task), **first, **row}))
        of_run = and_(rows.c.dag_id == self._task.dag_id, rows.c.run_id == self._task.run_id)
        began_at = connection.execute(select(func.min(rows.c.began_at)).where(of_run)).scalar_one()
        return Registered(began_at, before.paid if before else 0, self.share(connection))

    def seconds_to_first_renewal(self, connection: Connection) -> float:
        """How long a task that has registered waits until it counts the others."""
        rows, task = self._tables.tasks.c, self._task
        shards = and_(rows.dag_id == task.dag_id, rows.run_id == task.run_id, rows.task_id == task.task_id)
        follows = connection.execute(select(rows.task_key).where(shards, rows.ended).limit(1)).first()
        return SECONDS_TO_FIRST_RENEWAL_OF_FOLLOWER if follows else SECONDS_TO_FIRST_RENEWAL

    def renew(self, connection: Connection) -> Share:
        """The task lives. :return: its share among those that do."""
        connection.execute(self._renewal)
        return self.share(connection)

    def share(self, connection: Connection) -> Share:
        rows = connection.execute(self._living).fetchall()
        living = sorted({self._key, *(row.task_key for row in rows if row.now - row.renewed_at < LIFETIME)})
        return Share(living.index(self._key), len(living))

    def pay(self, connection: Connection, images: int) -> None:
        """Charge the task for images; fewer than 0 are given back."""
        connection.execute(self._payment, {"images": images})

    def end(self, connection: Connection) -> None:
        """The attempt counts no more, and claims nothing."""
        connection.execute(self._ending)
        end_all(connection, self._tables.claims, self._attempt)


def task_key(task: TaskKey) -> str:
    """Key of a task instance: SHA-256 of its ids and its map index, separated by NUL, in hex."""
    return hashlib.sha256("\0".join(map(str, vars(task).values())).encode()).hexdigest()


def forget(connection: Connection, tables: LedgerTables, before: datetime) -> None:
    """Delete tasks that were not renewed since then, and claims of attempts that nobody knows."""
    tasks, claimed = tables
    # Queries come first: a DELETE that finds nothing locks what it looks through on MySQL.
    old = select(tasks.c.task_key).where(tasks.c.renewed_at < before)
    for (key,) in connection.execute(old).fetchall():
        connection.execute(tasks.delete().where(tasks.c.task_key == key))
    known = claimed.outerjoin(tasks, tasks.c.attempt == claimed.c.attempt)
    orphans = select(claimed.c.attempt).select_from(known).where(tasks.c.attempt.is_(None)).distinct()
    for (attempt,) in connection.execute(orphans).fetchall():
        end_all(connection, claimed, attempt)
