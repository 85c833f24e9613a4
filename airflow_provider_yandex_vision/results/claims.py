"""Contents that are being paid for, each by one attempt of a task, as long as that lives."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Table, and_, select
from sqlalchemy.engine import Connection

from airflow_provider_yandex_vision.results.clock import DatabaseTime
from airflow_provider_yandex_vision.results.database import chunks
from airflow_provider_yandex_vision.results.schema import LIFETIME, LedgerTables
from airflow_provider_yandex_vision.results.upsert import upsert


def claim(connection: Connection, tables: LedgerTables, attempt: str, sha256s: Collection[str]) -> set[str]:
    """Claim the contents that nobody claims who lives. :return: those that this attempt has then."""
    claims = tables.claims.c
    others = claims_of_others(connection, tables, attempt, sha256s)
    free = sorted(set(sha256s).difference(others.living))
    if not free:
        return set()
    if others.dead:
        of_the_dead = and_(claims.content_sha256.in_(free), claims.attempt.in_(others.dead))
        connection.execute(tables.claims.update().where(of_the_dead).values(attempt=attempt))
    # Whoever claimed one of them since the query keeps it.
    rows = [{"content_sha256": sha256, "attempt": attempt} for sha256 in free]
    upsert(connection, tables.claims, rows, lambda new: {"attempt": claims.attempt})
    ours = select(claims.content_sha256).where(claims.content_sha256.in_(free), claims.attempt == attempt)
    return {sha256 for (sha256,) in connection.execute(ours)}


class Others(NamedTuple):
    """:param living: contents that living tasks claim. :param dead: attempts of the tasks that claim the others."""

    living: set[str]
    dead: set[str]


def claims_of_others(connection: Connection, tables: LedgerTables, attempt: str, sha256s: Collection[str]) -> Others:
    tasks, claims = tables
    of_attempt = and_(tasks.c.attempt == claims.c.attempt, tasks.c.ended.is_(False))
    query = select(
        claims.c.content_sha256, claims.c.attempt, tasks.c.renewed_at, DatabaseTime().label("now")
    ).select_from(claims.outerjoin(tasks, of_attempt))
    others = Others(set(), set())
    for chunk in chunks(sha256s):
        claimed = and_(claims.c.content_sha256.in_(chunk), claims.c.attempt != attempt)
        for row in connection.execute(query.where(claimed)).fetchall():
            if row.renewed_at is not None and row.now - row.renewed_at < LIFETIME:
                others.living.add(row.content_sha256)
            else:
                others.dead.add(row.attempt)
    return others


def end(connection: Connection, claims: Table, attempt: str, sha256s: Collection[str] | None = None) -> None:
    """Delete claims of an attempt: all of them, or those of the given contents."""
    statement = claims.delete().where(claims.c.attempt == attempt)
    if sha256s is not None:
        statement = statement.where(claims.c.content_sha256.in_(sha256s))
    connection.execute(statement)
