"""Contents that are being paid for, each by one attempt of a task, as long as that lives."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Table, and_, select
from sqlalchemy.engine import Connection

from airflow_provider_yandex_vision.results.clock import DatabaseTime
from airflow_provider_yandex_vision.results.schema import LIFETIME, LedgerTables
from airflow_provider_yandex_vision.results.upsert import upsert


def claim(connection: Connection, tables: LedgerTables, attempt: str, sha256s: Collection[str]) -> set[str]:
    """Claim the contents that nobody claims who lives. :return: those that this attempt has now."""
    tasks, claims = tables
    query = (
        select(claims.c.content_sha256, claims.c.attempt, tasks.c.renewed_at, DatabaseTime().label("now"))
        .select_from(claims.outerjoin(tasks, and_(tasks.c.attempt == claims.c.attempt, tasks.c.ended.is_(False))))
        .where(claims.c.content_sha256.in_(sha256s), claims.c.attempt != attempt)
    )
    dead: set[str] = set()
    taken: set[str] = set()
    for row in connection.execute(query).fetchall():
        if row.renewed_at is not None and row.now - row.renewed_at < LIFETIME:
            taken.add(row.content_sha256)
        else:
            dead.add(row.attempt)
    free = sorted(set(sha256s) - taken)
    if not free:
        return set()
    if dead:
        of_the_dead = and_(claims.c.content_sha256.in_(free), claims.c.attempt.in_(dead))
        connection.execute(claims.update().where(of_the_dead).values(attempt=attempt))
    # Whoever claimed one of them since the query keeps it.
    rows = [{"content_sha256": sha256, "attempt": attempt} for sha256 in free]
    upsert(connection, claims, rows, lambda new: {"attempt": claims.c.attempt})
    ours = select(claims.c.content_sha256).where(claims.c.content_sha256.in_(free), claims.c.attempt == attempt)
    return {sha256 for (sha256,) in connection.execute(ours)}


def end(connection: Connection, claims: Table, attempt: str, sha256s: Collection[str] | None = None) -> None:
    """Delete claims of an attempt: all of them, or those of the given contents."""
    statement = claims.delete().where(claims.c.attempt == attempt)
    if sha256s is not None:
        statement = statement.where(claims.c.content_sha256.in_(sha256s))
    connection.execute(statement)
