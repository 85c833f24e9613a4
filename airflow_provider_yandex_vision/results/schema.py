"""The tables and views: their names, and their columns on any database."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import CHAR, BigInteger, Column, Unicode
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from airflow_provider_yandex_vision.vision.errors import TableError
from airflow_provider_yandex_vision.vision.models import Status

ANSWERS: tuple[Status, ...] = ("found", "none")

MATCHES_SUFFIX = "_matches"
DECISIONS_SUFFIX, REPORTED_SUFFIX = "_decisions", "_reported"
FINDINGS_SUFFIX, OPEN_SUFFIX = "_findings", "_open"
TASKS_SUFFIX, CLAIMS_SUFFIX = "_tasks", "_claims"
MAX_NAME_LENGTH = 63 - len(DECISIONS_SUFFIX)
"""PostgreSQL silently truncates identifiers after 63 characters, MySQL rejects them after 64."""

LIFETIME = timedelta(seconds=20)
"""How long a task lives after its row was renewed."""

_NAME = re.compile(r"(?:(?P<schema>[A-Za-z_]\w*)\.)?(?P<table>[A-Za-z_]\w*)", re.ASCII)

MYSQL_NAMES = ("mysql", "mariadb")
"""SQLAlchemy's dialect name depends on how the URL starts, not on the server."""

# utf8mb4_bin tells "é" from "e"; older servers need the row format for an index on run_id.
_OPTIONS = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin", "row_format": "DYNAMIC"}
_MYSQL_OPTIONS: Any = {f"{server}_{option}": _OPTIONS[option] for server in MYSQL_NAMES for option in _OPTIONS}

# MySQL's plain TEXT is limited to 64 KB.
Text = sa.UnicodeText().with_variant(mysql.LONGTEXT(), "mysql").with_variant(mysql.LONGTEXT(), "mariadb")


class Timestamp(TypeDecorator):  # type: ignore[type-arg]  # SQLAlchemy 1.4's has no parameter
    """An aware datetime, stored in UTC with microseconds, even if the database has no time zones."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in MYSQL_NAMES:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value.astimezone(timezone.utc)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(timezone.utc) if value.tzinfo else value.replace(tzinfo=timezone.utc)


# Columns that a later version added may be NULL: migration.py adds them to tables that exist.
_IMAGES = sa.Table(
    "images",
    sa.MetaData(),
    Column("image_id", CHAR(64), primary_key=True),
    Column("image_uri", Text, nullable=False),
    Column("object_storage_conn_id", Text),
    Column("status", Unicode(16), nullable=False),
    Column("copy_count", BigInteger),
    Column("match_count", BigInteger),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("content_sha256", CHAR(64), index=True),
    Column("etag", Text),
    Column("size_bytes", BigInteger),
    Column("mime_type", Text),
    Column("searched_at", Timestamp, nullable=False),
    Column("checked_at", Timestamp),
    Column("request_id", Text),
    Column("dag_id", Unicode(250), nullable=False),
    Column("run_id", Unicode(250), nullable=False, index=True),
    Column("task_id", Unicode(250), nullable=False),
    Column("map_index", sa.Integer, nullable=False),
    **_MYSQL_OPTIONS,
)

_MATCHES = sa.Table(
    "matches",
    sa.MetaData(),
    Column("match_id", CHAR(64), primary_key=True),
    Column("finding_id", CHAR(64), index=True),
    Column("image_id", CHAR(64), nullable=False, index=True),
    Column("rank_no", BigInteger, nullable=False),
    Column("image_url", Text, nullable=False),
    Column("page_url", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("site", Text),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("current", sa.Boolean),
    Column("first_seen_at", Timestamp, nullable=False),
    Column("last_seen_at", Timestamp, nullable=False),
    Column("first_seen_dag_id", Unicode(250)),
    Column("first_seen_run_id", Unicode(250), nullable=False),
    **_MYSQL_OPTIONS,
)

_TASKS = sa.Table(
    "tasks",
    sa.MetaData(),
    Column("task_key", CHAR(64), primary_key=True),
    Column("dag_id", Unicode(250), nullable=False),
    Column("run_id", Unicode(250), nullable=False),
    Column("task_id", Unicode(250), nullable=False),
    Column("map_index", sa.Integer, nullable=False),
    Column("attempt", CHAR(32), nullable=False),
    Column("yandex_vision_conn_id", Unicode(250), nullable=False),
    Column("began_at", Timestamp, nullable=False),
    Column("renewed_at", Timestamp, nullable=False),
    Column("ended", sa.Boolean, nullable=False),
    Column("paid", BigInteger, nullable=False),
    **_MYSQL_OPTIONS,
)

_CLAIMS = sa.Table(
    "claims",
    sa.MetaData(),
    Column("content_sha256", CHAR(64), primary_key=True),
    Column("attempt", CHAR(32), nullable=False, index=True),
    **_MYSQL_OPTIONS,
)


_DECISIONS = sa.Table(
    "decisions",
    sa.MetaData(),
    Column("kind", Unicode(16), primary_key=True),
    Column("subject", Unicode(253), primary_key=True),
    Column("verdict", Unicode(16), nullable=False),
    Column("note", Text),
    Column("decided_by", Unicode(250)),
    Column("decided_at", Timestamp),
    **_MYSQL_OPTIONS,
)

_REPORTED = sa.Table(
    "reported",
    sa.MetaData(),
    Column("report", Unicode(250), primary_key=True),
    Column("finding_id", CHAR(64), primary_key=True),
    Column("run_id", Unicode(250), nullable=False),
    Column("claimed_at", Timestamp),
    Column("reported_at", Timestamp),
    **_MYSQL_OPTIONS,
)

_FINDINGS = sa.Table(
    "findings",
    sa.MetaData(),
    Column("finding_id", CHAR(64)),
    *(Column(name, Text) for name in ("page_url", "domain", "site", "title", "description", "image_url")),
    Column("rank", BigInteger),
    Column("image_uri", Text),
    Column("pictures", BigInteger),
    Column("first_seen_at", Timestamp),
    Column("last_seen_at", Timestamp),
    Column("current", sa.Boolean),
    Column("verdict", Unicode(16)),
    Column("note", Text),
    Column("decided_by", Unicode(250)),
    Column("decided_at", Timestamp),
    Column("open", sa.Boolean),
)


class Tables(NamedTuple):
    """``images`` has one row per image, ``matches`` one row per page that shows it.

    ``searched_at`` is the time of the answer, or of the last try if there is none yet; ``checked_at`` that of the last
    try. A match is ``current`` if the image's answer has it.
    """

    images: sa.Table
    matches: sa.Table

    @classmethod
    def named(cls, name: str) -> Tables:
        """
        :param name: of the images table, ``table`` or ``schema.table``.
        :raises TableError: the name is invalid.
        """
        schema, table = _parts(name)
        images = _IMAGES.to_metadata(sa.MetaData(), schema=schema, name=table)
        matches = _MATCHES.to_metadata(sa.MetaData(), schema=schema, name=table + MATCHES_SUFFIX)
        sa.Index(None, matches.c.first_seen_dag_id, matches.c.first_seen_run_id)
        sa.Index(None, matches.c.first_seen_at, matches.c.finding_id)
        return cls(images, matches)


class FindingTables(NamedTuple):
    """What people decided, what reports have shown, and two views: all findings, and the open ones.

    A finding is a page that shows a content, in however many images. ``reported_at`` is NULL while a run that claimed
    a finding has not shown it.
    """

    decisions: sa.Table
    reported: sa.Table
    findings: sa.Table
    open: sa.Table

    @classmethod
    def named(cls, name: str) -> FindingTables:
        """
        :param name: of the images table, ``table`` or ``schema.table``.
        :raises TableError: the name is invalid.
        """
        schema, table = _parts(name)
        return cls(
            _DECISIONS.to_metadata(sa.MetaData(), schema=schema, name=table + DECISIONS_SUFFIX),
            _REPORTED.to_metadata(sa.MetaData(), schema=schema, name=table + REPORTED_SUFFIX),
            _FINDINGS.to_metadata(sa.MetaData(), schema=schema, name=table + FINDINGS_SUFFIX),
            _FINDINGS.to_metadata(sa.MetaData(), schema=schema, name=table + OPEN_SUFFIX),
        )


class LedgerTables(NamedTuple):
    """``tasks`` has one row per task instance, ``claims`` one row per content that is being searched.

    A task lives until it has ``ended``, or was not renewed for :data:`LIFETIME`. A claim holds as long as the attempt
    of a task that made it lives.
    """

    tasks: sa.Table
    claims: sa.Table

    @classmethod
    def named(cls, name: str) -> LedgerTables:
        """:param name: of the images table, as :meth:`Tables.named` takes it."""
        schema, table = _parts(name)
        return cls(
            _TASKS.to_metadata(sa.MetaData(), schema=schema, name=table + TASKS_SUFFIX),
            _CLAIMS.to_metadata(sa.MetaData(), schema=schema, name=table + CLAIMS_SUFFIX),
        )


def _parts(name: str) -> tuple[Any, str]:
    """Schema and table. :raises TableError: the name is invalid."""
    parts = _NAME.fullmatch(name)
    if not parts or len(parts["table"]) > MAX_NAME_LENGTH:
        raise TableError(
            f"{name!r} is not a table name: use `table` or `schema.table` with letters, digits and underscores, "
            f"and at most {MAX_NAME_LENGTH} characters for the table"
        )
    return parts["schema"], parts["table"]
