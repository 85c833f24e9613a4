"""Before the first payment: does the table take what the web sends, and give it back?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from operator import methodcaller
from typing import Any

import sqlalchemy as sa
from sqlalchemy import func, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from airflow_provider_yandex_vision.results.database import Database
from airflow_provider_yandex_vision.results.rows import NewRow, TaskKey, image_id, image_row, match_rows
from airflow_provider_yandex_vision.results.schema import MYSQL_NAMES, Tables
from airflow_provider_yandex_vision.results.sql_errors import first_line, is_about_rows
from airflow_provider_yandex_vision.results.writing import Writer
from airflow_provider_yandex_vision.vision.errors import TableError
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult

SAMPLE = "a description of 70 KB with emoji and Cyrillic letters"
NEEDED = "columns need Unicode (in MySQL utf8mb4) and no limit of length, as create_table=True makes them"

MIN_PACKET_BYTES = 2**20
"""PyMySQL joins rows to statements of up to 1,024,000 bytes."""


def rehearse(database: Database, tables: Tables, writer: Writer, task: TaskKey, now: datetime) -> None:
    """Write rows twice, read them back, and leave nothing behind.

    :raises TableError: a permission or a key is missing, or a column does not take the longest or oddest text.
    """
    samples = _samples(task, now)
    ids = [image_id(sample.uri) for sample in samples]
    rows = {
        tables.images: [image_row(sample, task, now, len(sample.matches) or None) for sample in samples],
        tables.matches: [row for sample in samples for row in match_rows(sample, task)],
    }

    def write(connection: Connection) -> None:
        _check_packet(connection, database)
        try:
            for _ in range(2):
                writer.upsert(connection, samples)
        except (DBAPIError, UnicodeError) as error:
            if not is_about_rows(error):
                raise
            reason = first_line(getattr(error, "orig", None) or error)
            raise TableError(f"cannot write {database.table}: it refuses {SAMPLE}: {reason}; {NEEDED}") from None
        for table, written in rows.items():
            _compare(database, table, written, connection.execute(_rows(table, ids)).mappings().all())
        if transaction := connection.get_transaction():
            transaction.rollback()

    try:
        database.transact("write", write, TableError)
    except TableError:
        _sweep(database, tables, ids)
        raise
    _sweep(database, tables, ids)


def _samples(task: TaskKey, now: datetime) -> list[CopySearchResult]:
    """An answer and a failure, both with columns as long as they get."""
    uri = f"rehearsal of {task}/{_text(2000)}"
    shown = CopyMatch(
        image_url=f"https://пример.рф/{_text(4000)}",
        page_url=f"https://пример.рф/{_text(4000)}",
        title=_text(4000),
        description=_text(70_000),
        rank=1,
        domain=_text(250),
        site=_text(250),
    )
    facts: Any = {"sha256": "0" * 64, "size": 2**40, "etag": _text(1000), "mime_type": _text(100)}
    facts |= {"request_id": _text(250), "conn_id": _text(250), "searched_at": now}
    return [
        CopySearchResult(f"{uri} found", "found", copy_count=2**63 - 1, matches=(shown,), **facts),
        CopySearchResult(f"{uri} failed", "failed", error_code=_text(100), error_message=_text(1000), **facts),
    ]


def _text(length: int) -> str:
    """Emoji, joined ones too, Cyrillic, a letter outside the BMP, an accent apart, quotes and percent signs."""
    return ("Снимок 🏳️\u200d🌈 😀 \U0001d4b3 e\u0301 'a' \"b\" \\ 100 % " * (length // 30 + 1))[:length]


def _check_packet(connection: Connection, database: Database) -> None:
    if database.dialect.name not in MYSQL_NAMES:
        return
    size = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar()
    if size is not None and size < MIN_PACKET_BYTES:
        raise TableError(
            f"cannot write {database.table}: max_allowed_packet of the server is {size:,} bytes; "
            "set it to 1 MB at least, better 16 MB"
        )


def _rows(table: sa.Table, ids: Collection[str]) -> Any:
    return select(table).where(table.c.image_id.in_(ids))


def _compare(
    database: Database, table: sa.Table, written: Iterable[NewRow], stored: Iterable[Mapping[Any, Any]]
) -> None:
    (key,) = table.primary_key.columns.keys()
    by_key = {row[key]: row for row in stored}
    expected = {row[key]: row for row in written}
    if len(by_key) != len(expected) or len([*stored]) != len(expected):
        raise TableError(f"{database.table} has another layout: {table.fullname} has no primary key")
    for row_key, row in expected.items():
        for name, value in row.items():
            # Times may be stored with less precision.
            if isinstance(value, (str, int)) and by_key[row_key][name] != value:
                raise TableError(
                    f"cannot write {database.table}: column {name} of {table.fullname} changes or cuts off {SAMPLE}; "
                    f"{NEEDED}"
                )


def _sweep(database: Database, tables: Tables, ids: Collection[str]) -> None:
    """Delete the rows if they are there: not every engine can roll back."""
    for table in tables:
        if database.fetch(select(func.count()).select_from(table).where(table.c.image_id.in_(ids)))[0][0]:
            delete = methodcaller("execute", table.delete().where(table.c.image_id.in_(ids)))
            database.transact("write", delete, TableError)
