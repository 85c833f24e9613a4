"""What the two results tables look like, on any database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Table, Unicode, UnicodeText
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import CHAR, TypeDecorator, TypeEngine

from airflow_provider_yandex_vision.vision.errors import TableError

MATCHES_SUFFIX = "_matches"
MAX_NAME_LENGTH = 63 - len(MATCHES_SUFFIX)
"""PostgreSQL cuts longer identifiers silently, MySQL refuses them from 65 on."""

MYSQL_NAMES = ("mysql", "mariadb")
"""SQLAlchemy calls a MariaDB server by the name that the connection's URL starts with."""

_NAME = re.compile(r"(?:(?P<schema>[A-Za-z_]\w*)\.)?(?P<table>[A-Za-z_]\w*)", re.ASCII)

# utf8mb4_bin tells "é" from "e"; older servers' row format has no room for an index over run_id.
_MYSQL_OPTIONS = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin", "row_format": "DYNAMIC"}


class Timestamp(TypeDecorator):  # type: ignore[type-arg]  # SQLAlchemy 1.4's has no parameter
    """An aware moment, kept in UTC with microseconds, also where the database knows no time zones."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in MYSQL_NAMES:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value.astimezone(timezone.utc)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(timezone.utc) if value.tzinfo else value.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Tables:
    """One row an image, and one row a page that shows it."""

    images: Table
    matches: Table

    @classmethod
    def named(cls, name: str) -> Tables:
        """
        :param name: of the table of images, ``table`` or ``schema.table``.
        :raises TableError: that is not a name.
        """
        parts = _NAME.fullmatch(name)
        if not parts or len(parts["table"]) > MAX_NAME_LENGTH:
            raise TableError(
                f"{name!r} is not a table name: give `table` or `schema.table`, in letters, digits and "
                f"underscores, the table's part no longer than {MAX_NAME_LENGTH} characters"
            )
        return cls(
            _define(parts["table"], parts["schema"], _image_columns()),
            _define(parts["table"] + MATCHES_SUFFIX, parts["schema"], _match_columns()),
        )

    def __iter__(self) -> Iterator[Table]:
        return iter((self.images, self.matches))


def _define(name: str, schema: str | None, columns: list[Column[Any]]) -> Table:
    options: dict[str, Any] = {
        f"{server}_{option}": value for server in MYSQL_NAMES for option, value in _MYSQL_OPTIONS.items()
    }
    return Table(name, MetaData(), *columns, schema=schema, **options)


def _image_columns() -> list[Column[Any]]:
    return [
        Column("image_id", CHAR(64), primary_key=True),
        Column("image_uri", _text(), nullable=False),
        Column("status", Unicode(16), nullable=False),
        Column("copy_count", BigInteger),
        Column("match_count", BigInteger),
        Column("error_code", _text()),
        Column("error_message", _text()),
        Column("content_sha256", CHAR(64), index=True),
        Column("etag", _text()),
        Column("size_bytes", BigInteger),
        Column("mime_type", _text()),
        Column("searched_at", Timestamp, nullable=False),
        Column("dag_id", Unicode(250), nullable=False),
        Column("run_id", Unicode(250), nullable=False, index=True),
        Column("task_id", Unicode(250), nullable=False),
        Column("map_index", Integer, nullable=False),
    ]


def _match_columns() -> list[Column[Any]]:
    return [
        Column("match_id", CHAR(64), primary_key=True),
        Column("image_id", CHAR(64), nullable=False, index=True),
        Column("rank_no", BigInteger, nullable=False),
        Column("image_url", _text(), nullable=False),
        Column("page_url", _text(), nullable=False),
        Column("domain", _text(), nullable=False),
        Column("title", _text(), nullable=False),
        Column("description", _text(), nullable=False),
        Column("first_seen_at", Timestamp, nullable=False),
        Column("last_seen_at", Timestamp, nullable=False),
        Column("first_seen_run_id", Unicode(250), nullable=False, index=True),
    ]


def _text() -> TypeEngine[str]:
    """Text of any length: MySQL's plain TEXT ends at 64 KB."""
    text: TypeEngine[str] = UnicodeText()
    for server in MYSQL_NAMES:
        text = text.with_variant(mysql.LONGTEXT(), server)
    return text
