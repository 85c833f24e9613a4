"""The views of findings: one definition for every database, and their creation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import and_, case, exists, func, or_, select
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

from airflow_provider_yandex_vision.results.database import Database, column_names
from airflow_provider_yandex_vision.results.decisions import FINDING, SITE, VERDICTS
from airflow_provider_yandex_vision.results.schema import MYSQL_NAMES, FindingTables, Tables
from airflow_provider_yandex_vision.vision.errors import TableError

NAMES_ABOVE = 3
"""Hosts above a page's that a decision is looked up for, besides its site."""

ATTEMPTS = 5


class View(NamedTuple):
    """
    :param statement: creates or replaces it.
    :param mark: is in the statement, and tells another version's view apart: databases rewrite what they store.
    """

    table: sa.Table
    statement: str
    mark: str


def ensure_views(database: Database, tables: Tables, kept: FindingTables) -> None:
    """Create the views, or replace those of another version. Tasks may race to do so.

    :raises TableError: a view is missing and cannot be created.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if not (missing := _missing(database, tables, kept)):
                return
            database.transact("create", partial(_create, views=missing), TableError)
        except TableError:
            # Of tasks that start together, one creates them; the others look again.
            if attempt == ATTEMPTS:
                raise


def missing_views(database: Database, tables: Tables, kept: FindingTables) -> list[str]:
    """Statements that create the views as this version needs them, without those that exist."""
    return [view.statement for view in _missing(database, tables, kept)]


def _missing(database: Database, tables: Tables, kept: FindingTables) -> list[View]:
    views = _views(database.dialect, tables, kept)
    return [view for view in views if not database.transact("read", partial(_is_up_to_date, view=view), TableError)]


def _views(dialect: Dialect, tables: Tables, kept: FindingTables) -> Iterator[View]:
    for table, open_only in ((kept.findings, False), (kept.open, True)):
        query = _findings(dialect, tables, kept.decisions, open_only=open_only)
        mark = f"version {hashlib.sha256(_sql(dialect, query).encode()).hexdigest()[:12]}"
        create = "CREATE VIEW" if dialect.name == "sqlite" else "CREATE OR REPLACE VIEW"
        name, marked = dialect.identifier_preparer.format_table(table), query.where(sa.literal(mark).isnot(None))
        yield View(table, f"{create} {name} AS {_sql(dialect, marked)}", mark)


def _sql(dialect: Dialect, query: Any) -> str:
    return " ".join(str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})).split())


def _is_up_to_date(connection: Connection, view: View) -> bool:
    inspector, table = sa.inspect(connection), view.table
    try:
        definition = inspector.get_view_definition(table.name, schema=table.schema)
    except NoSuchTableError:
        return False
    except SQLAlchemyError:
        if connection.dialect.name not in MYSQL_NAMES:
            raise
        # MySQL shows it to owners only; the view works for everybody.
        return inspector.has_table(table.name, schema=table.schema)
    return definition is not None and view.mark in definition


def _create(connection: Connection, views: Iterable[View]) -> None:
    for view in views:
        # A view that is replaced keeps its permissions, and the views that people built on it.
        has_other_columns = column_names(connection, view.table) not in ([], view.table.columns.keys())
        if connection.dialect.name == "sqlite" or has_other_columns:
            name = connection.dialect.identifier_preparer.format_table(view.table)
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
        connection.exec_driver_sql(view.statement)


def _findings(dialect: Dialect, tables: Tables, decisions: sa.Table, *, open_only: bool) -> Any:
    """A row of matches stands for its finding: the one first seen. So the newest findings are found by an index.

    Everything else is looked up by the key of the finding, and only for those that are read.
    """
    images, matches = tables
    first, other, best, image = matches.alias("f"), matches.alias("o"), matches.alias("b"), images.alias("i")
    same = other.c.finding_id == first.c.finding_id
    earlier = or_(
        other.c.first_seen_at < first.c.first_seen_at,
        and_(other.c.first_seen_at == first.c.first_seen_at, other.c.match_id < first.c.match_id),
    )
    made = _decisions_about(dialect, first, decisions)
    undecided = [decision.c.kind.is_(None) for decision in made]
    current = _current(tables, first)
    source: Any = first
    for decision, about in made.items():
        source = source.outerjoin(decision, about)
    source = source.outerjoin(best, best.c.match_id == _best(tables, first)).outerjoin(
        image, image.c.image_id == best.c.image_id
    )
    columns = [
        *(first.c[name] for name in ("finding_id", "page_url", "domain", "site")),
        *(best.c[name] for name in ("title", "description", "image_url")),
        best.c.rank_no.label("rank"),
        image.c.image_uri,
        _of_all(func.count(), other, same, first).label("pictures"),
        first.c.first_seen_at,
        _of_all(func.max(other.c.last_seen_at), other, same, first).label("last_seen_at"),
        (sa.true() if open_only else current).label("current"),
        *(_decided(made, name).label(name) for name in ("verdict", "note", "decided_by", "decided_at")),
        # CASE keeps databases from looking up what is current for findings that are decided.
        (sa.true() if open_only else case((and_(*undecided), current), else_=sa.false())).label("open"),
    ]
    query = select(*columns).select_from(source).where(~exists().where(same, earlier).correlate(first))
    return query.where(current, *undecided) if open_only else query


def _of_all(aggregate: Any, other: Any, same: Any, first: Any) -> Any:
    """Over all rows of the finding."""
    return select(aggregate).select_from(other).where(same).correlate(first).scalar_subquery()


def _current(tables: Tables, first: Any) -> Any:
    """The last answer for the content has the page: that of an image since moved or deleted does not count."""
    images, matches = tables
    match, image, searched_later = matches.alias("m"), images.alias("mi"), images.alias("l")
    later = exists().where(
        searched_later.c.content_sha256 == image.c.content_sha256,
        searched_later.c.searched_at > image.c.searched_at,
        searched_later.c.match_count.isnot(None),
    )
    return (
        exists()
        .select_from(match.join(image, image.c.image_id == match.c.image_id))
        .where(match.c.finding_id == first.c.finding_id, match.c.current, ~later.correlate(image))
        .correlate(first)
    )


def _best(tables: Tables, first: Any) -> Any:
    """Key of the row to show: of the image searched last, since its file is the most likely to be there.

    Of images searched at once it is the same one for all pages, so that a content counts as one picture.
    """
    images, matches = tables
    match, image = matches.alias("n"), images.alias("ni")
    return (
        select(match.c.match_id)
        .select_from(match.join(image, image.c.image_id == match.c.image_id))
        .where(match.c.finding_id == first.c.finding_id)
        .order_by(match.c.current.desc(), image.c.searched_at.desc(), image.c.image_id, match.c.match_id)
        .limit(1)
        .correlate(first)
        .scalar_subquery()
    )


def _decisions_about(dialect: Dialect, first: Any, decisions: sa.Table) -> dict[Any, Any]:
    """Decisions by their condition, the strongest first: on the finding, its host, the names above it, its site."""
    hosts = [first.c.domain]
    for _ in range(NAMES_ABOVE):
        hosts.append(_name_above(dialect, hosts[-1]))
    # PostgreSQL would not use the index to compare CHAR with VARCHAR.
    subjects = [
        (FINDING, sa.cast(first.c.finding_id, sa.Unicode(64))),
        *((SITE, each) for each in (*hosts, first.c.site)),
    ]
    made = {}
    for number, (kind, subject) in enumerate(subjects):
        decision = decisions.alias(f"d{number}")
        made[decision] = and_(decision.c.kind == kind, decision.c.subject == subject, decision.c.verdict.in_(VERDICTS))
    return made


def _name_above(dialect: Dialect, host: Any) -> Any:
    position = func.strpos if dialect.name == "postgresql" else func.instr
    return func.substr(host, position(host, ".", type_=sa.Integer) + 1)


def _decided(made: Iterable[Any], name: str) -> Any:
    """Column of the strongest decision."""
    return case(*((decision.c.kind.isnot(None), decision.c[name]) for decision in made))
