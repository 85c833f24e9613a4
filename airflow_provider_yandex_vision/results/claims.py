"""Contents that are being paid for, each by one attempt of a task, as long as that lives."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Table, and_, bindparam, select
from sqlalchemy.engine import Connection

from airflow_provider_yandex_vision.results.clock import DatabaseTime
from airflow_provider_yandex_vision.results.database import chunks
from airflow_provider_yandex_vision.results.schema import LIFETIME, LedgerTables
from airflow_provider_yandex_vision.results.upsert import Upsert


class Others(NamedTuple):
    """:param living: contents that living tasks claim. :param dead: attempts of the tasks that claim the others."""

    living: set[str]
    dead: set[str]


class ClaimsOfAttempt:
    """What one attempt claims. Its statements are built once: that takes longer than to run them."""

    def __init__(self, database: str, tables: LedgerTables, attempt: str) -> None:
        tasks, self._table = tables
        self.attempt = attempt
        claims = self._table.c
        of_contents = claims.content_sha256.in_(bindparam("sha256s", expanding=True))
        of_attempt = and_(tasks.c.attempt == claims.attempt, tasks.c.ended.is_(False))
        self._others = (
            select(claims.content_sha256, claims.attempt, tasks.c.renewed_at, DatabaseTime().label("now"))
            .select_from(self._table.outerjoin(tasks, of_attempt))
            .where(of_contents, claims.attempt != attempt)
        )
        # Whoever has claimed one of them keeps it.
        self._insert = Upsert(database, self._table, lambda new: {"attempt": claims.attempt})
        self._own = select(claims.content_sha256).where(of_contents, claims.attempt == attempt)
        self._end = self._table.delete().where(of_contents, claims.attempt == attempt)

    def claim(self, connection: Connection, sha256s: Collection[str]) -> set[str]:
        """Claim the contents that nobody claims who lives. :return: those that this attempt has then."""
        wanted = set(sha256s)
        self._insert(connection, [{"content_sha256": sha256, "attempt": self.attempt} for sha256 in wanted])
        own = self.own(connection, wanted)
        dead = self.others(connection, wanted - own).dead
        if not dead:
            return own
        claims = self._table.c
        of_the_dead = and_(claims.content_sha256.in_(wanted - own), claims.attempt.in_(dead))
        connection.execute(self._table.update().where(of_the_dead).values(attempt=self.attempt))
        return self.own(connection, wanted)

    def own(self, connection: Connection, sha256s: Collection[str]) -> set[str]:
        return {sha256 for chunk in chunks(sha256s) for (sha256,) in connection.execute(self._own, {"sha256s": chunk})}

    def others(self, connection: Connection, sha256s: Collection[str]) -> Others:
        others = Others(set(), set())
        for chunk in chunks(sha256s):
            for row in connection.execute(self._others, {"sha256s": chunk}).fetchall():
                if row.renewed_at is not None and row.now - row.renewed_at < LIFETIME:
                    others.living.add(row.content_sha256)
                else:
                    others.dead.add(row.attempt)
        return others

    def end(self, connection: Connection, sha256s: Collection[str]) -> None:
        connection.execute(self._end, {"sha256s": list(sha256s)})


def end_all(connection: Connection, claims: Table, attempt: str) -> None:
    """Delete the claims of an attempt."""
    connection.execute(claims.delete().where(claims.c.attempt == attempt))
