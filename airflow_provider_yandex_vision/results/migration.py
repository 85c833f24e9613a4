"""The tables as this version needs them: created, or brought up to date with all their rows."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from operator import methodcaller
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection, Dialect, Row
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from airflow_provider_yandex_vision.results.database import Database, chunks, column_names
from airflow_provider_yandex_vision.results.rows import NewRow, finding_id, match_id
from airflow_provider_yandex_vision.results.schema import ANSWERS, MYSQL_NAMES, FindingTables, Tables
from airflow_provider_yandex_vision.results.views import ensure_views, missing_views
from airflow_provider_yandex_vision.vision.errors import TableError
from airflow_provider_yandex_vision.vision.models import domain_of
from airflow_provider_yandex_vision.vision.sites import normal_host, site_of

log = logging.getLogger(__name__)

ROWS_PER_BATCH = 500


def ensure_tables(database: Database, tables: Tables, kept: FindingTables, *others: sa.Table, create: bool) -> None:
    """Make sure that tables and views exist, have all columns, and that rows of an older version mean what new ones do.

    :param create: create what is missing, also the columns that a later version added. Tasks may race to do so.
    :raises TableError: something is missing and not created.
    """
    every = (*tables, *others, kept.decisions, kept.reported)
    missing = [table for table in every if not _columns(database, table)]
    lacking = {table: _lacking(database, table) for table in every if table not in missing}
    if not create:
        statements = [each for table in missing for each in _creation(database.dialect, table)]
        statements += [each for table in lacking for each in _statements(database.dialect, table, lacking[table])]
        statements += missing_views(database, tables, kept)
        _check_complete(database, tables, missing, statements)
    for table in missing:
        try:
            database.transact("create", partial(table.create, checkfirst=True), TableError)
        except TableError:
            # Tasks that start together race to create the table; all but one fail.
            if not _columns(database, table):
                raise
    for table, columns in lacking.items():
        _add_columns(database, table, columns)
    convert_matches(database, tables)
    ensure_views(database, tables, kept)


def _check_complete(database: Database, tables: Tables, missing: Sequence[sa.Table], statements: Sequence[str]) -> None:
    """:raises TableError: there are statements to run."""
    names = ", ".join(table.fullname for table in missing)
    if set(tables) <= set(missing):
        for statement in statements:
            log.info("To create it: %s;", statement)
        raise TableError(f"{database.table} lacks {names}: set create_table=True, or run the statements in the log")
    if statements:
        is_new = not set(tables).isdisjoint(missing)
        lacks = f"lacks {names}" if is_new else "was made by an older version"
        raise TableError(
            f"{database.table} {lacks}: run these statements, or set create_table=True: " + "; ".join(statements)
        )


def convert_matches(database: Database, tables: Tables) -> None:
    """Give matches of an older version, which have no ``first_seen_dag_id``, today's key and columns.

    They had one row for each page and image URL. Of the rows of one page, the last one seen stays, with the best rank
    and the earliest ``first_seen_at``: so no page looks new.
    """
    matches = tables.matches.c
    old = select(matches.image_id).where(matches.first_seen_dag_id.is_(None)).limit(ROWS_PER_BATCH)
    converted = 0
    while batch := {row.image_id for row in database.fetch(old)}:
        if not converted:
            log.info("Converting the matches in %s", database.table)
        converted += database.transact("convert", partial(_convert, tables=tables, image_ids=batch))
    if converted:
        log.info("Converted %s matches", f"{converted:,}")


def _columns(database: Database, table: sa.Table) -> set[str]:
    """Names of the columns in the database; empty if the table does not exist."""
    return set(map(str.lower, database.transact("read", partial(column_names, table=table), TableError)))


def _lacking(database: Database, table: sa.Table) -> list[sa.Column[Any]]:
    """Columns to add.

    :raises TableError: the table lacks a column that every version had.
    """
    found = _columns(database, table)
    lacking = [column for column in table.columns if column.name not in found]
    if foreign := [column.name for column in lacking if not column.nullable]:
        raise TableError(
            f"{database.table} has another layout: {table.fullname} has no column {', '.join(foreign)}; "
            "add the columns, or use another table"
        )
    return lacking


def _creation(dialect: Dialect, table: sa.Table) -> list[str]:
    statements: list[Any] = [CreateTable(table), *map(CreateIndex, table.indexes)]
    return [" ".join(str(each.compile(dialect=dialect)).split()) for each in statements]


def _statements(dialect: Dialect, table: sa.Table, lacking: Sequence[sa.Column[Any]]) -> list[str]:
    added = [_add_column(dialect, table, column) for column in lacking]
    return added + [str(CreateIndex(index).compile(dialect=dialect)) for index in _indexes(table, lacking)]


def _add_column(dialect: Dialect, table: sa.Table, column: sa.Column[Any]) -> str:
    name, definition = dialect.identifier_preparer.format_table(table), CreateColumn(column).compile(dialect=dialect)
    return f"ALTER TABLE {name} ADD COLUMN {definition}"


def _add_columns(database: Database, table: sa.Table, lacking: Sequence[sa.Column[Any]]) -> None:
    for column in lacking:
        add = sa.text(_add_column(database.dialect, table, column))
        try:
            database.transact("change", methodcaller("execute", add), TableError)
        except TableError:
            # Another task was faster.
            if column.name not in _columns(database, table):
                raise
    for index in _indexes(table, lacking):
        database.transact("change", partial(_create_index, index=index), TableError)


def _create_index(connection: Connection, index: sa.Index) -> None:
    """Unless another task did."""
    if connection.dialect.name in MYSQL_NAMES:
        index.create(connection, checkfirst=True)
    else:
        connection.execute(CreateIndex(index, if_not_exists=True))


def _indexes(table: sa.Table, columns: Sequence[sa.Column[Any]]) -> list[sa.Index]:
    """Indexes on any of these columns."""
    return [index for index in table.indexes if not set(columns).isdisjoint(index.columns)]


def _convert(connection: Connection, tables: Tables, image_ids: Collection[str]) -> int:
    """:return: number of rows that were there."""
    images, matches = tables
    # The lock that every writer of these images takes first: nobody changes their matches until the commit.
    # DuckDB notices a conflict with writers only if the column is one that has an index.
    connection.execute(images.update().where(images.c.image_id.in_(image_ids)).values(run_id=images.c.run_id))
    facts = (images.c.status, images.c.content_sha256, images.c.searched_at, images.c.dag_id)
    query = select(matches, *facts).select_from(matches.outerjoin(images, matches.c.image_id == images.c.image_id))
    pages: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    rows = connection.execute(query.where(matches.c.image_id.in_(image_ids))).fetchall()
    for row in rows:
        pages[match_id(row.image_id, row.page_url, row.image_url)].append(row)
    merged = [_merge(key, same_page) for key, same_page in pages.items()]
    for chunk in chunks({row.match_id for row in rows}.difference(row["old_match_id"] for row in merged)):
        connection.execute(matches.delete().where(matches.c.match_id.in_(chunk)))
    values: NewRow = {name: bindparam(f"new_{name}") for name in _CONVERTED}
    connection.execute(matches.update().where(matches.c.match_id == bindparam("old_match_id")).values(values), merged)
    _count_matches(connection, images, image_ids, merged)
    return len(rows)


def _count_matches(connection: Connection, images: sa.Table, image_ids: Collection[str], merged: list[NewRow]) -> None:
    """As many as there are current ones."""
    counts = Counter(row["new_image_id"] for row in merged if row["new_current"])
    connection.execute(
        images.update()
        .where(images.c.image_id == bindparam("key"), images.c.match_count.isnot(None))
        .values(match_count=bindparam("count")),
        [{"key": key, "count": counts[key]} for key in image_ids],
    )


_CONVERTED = (
    *("match_id", "finding_id", "domain", "site", "current"),
    *("first_seen_at", "first_seen_dag_id", "first_seen_run_id"),
)


def _merge(key: str, rows: Iterable[Row[Any]]) -> NewRow:
    """The row of a page that stays, and what changes in it."""
    kept = max(rows, key=lambda row: (row.match_id == key, row.last_seen_at, -row.rank_no))
    first = min(rows, key=lambda row: row.first_seen_at)
    # The hash of a search without an answer is not that of the content the matches belong to.
    sha256 = kept.content_sha256 if kept.status in ANSWERS else None
    domain = normal_host(domain_of(kept.page_url or kept.image_url))
    was_current = kept.searched_at is not None and kept.last_seen_at >= kept.searched_at
    return {
        "old_match_id": kept.match_id,
        "new_image_id": kept.image_id,
        "new_match_id": key,
        "new_finding_id": finding_id(sha256, kept.image_id, kept.page_url, kept.image_url),
        "new_domain": domain,
        "new_site": site_of(domain),
        "new_current": was_current if kept.current is None else kept.current,
        "new_first_seen_at": first.first_seen_at,
        "new_first_seen_dag_id": first.first_seen_dag_id or kept.dag_id or "",
        "new_first_seen_run_id": first.first_seen_run_id,
    }
