"""Results as rows, and rows as results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy.engine import Row

from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult, clean

NewRow: TypeAlias = "dict[str, Any]"

_RENAMED = {
    "uri": "image_uri",
    "conn_id": "object_storage_conn_id",
    "sha256": "content_sha256",
    "size": "size_bytes",
    "rank": "rank_no",
}
_IMAGE_COLUMNS = {name: _RENAMED.get(name, name) for name in CopySearchResult.__slots__ if name != "matches"}
_MATCH_COLUMNS = {name: _RENAMED.get(name, name) for name in CopyMatch.__slots__}
"""Columns by the field they store."""


@dataclass(frozen=True)
class TaskKey:
    """A task instance as Airflow identifies it; the same for all its attempts."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


def image_id(uri: str) -> str:
    """Key of an image: SHA-256 of its URI in UTF-8, in hex.

    Lone surrogates, as in file names that are not UTF-8, are encoded as they are.
    """
    return hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()


def match_id(image: str, page_url: str, image_url: str) -> str:
    """Key of a match: SHA-256 of image_id and page_url, separated by NUL, in hex.

    :param image_url: stands in for a page URL that is empty.
    """
    return _hash(image, page_url or image_url)


def finding_id(content_sha256: str | None, image: str, page_url: str, image_url: str) -> str:
    """Key of a finding, a page that shows a content in however many images: like a match's, but of the content.

    :param image: image_id, which stands in for the hash of a content that nobody knows.
    """
    return _hash(content_sha256 or image, page_url or image_url)


def image_row(result: CopySearchResult, task: TaskKey, checked_at: datetime, match_count: int | None) -> NewRow:
    """:param match_count: number of match rows; None if the search got no answer."""
    key, row = image_id(result.uri), _values(result, _IMAGE_COLUMNS)
    return {"image_id": key, **row, "checked_at": checked_at, "match_count": match_count, **vars(task)}


def match_rows(result: CopySearchResult, task: TaskKey) -> list[NewRow]:
    """One row per page, for the most relevant of its matches."""
    image, searched_at = image_id(result.uri), result.searched_at
    seen = {
        "current": True,
        "first_seen_at": searched_at,
        "last_seen_at": searched_at,
        "first_seen_dag_id": task.dag_id,
        "first_seen_run_id": task.run_id,
    }
    rows: dict[str, NewRow] = {}
    for match in sorted(result.matches, key=lambda match: match.rank):
        row = _values(match, _MATCH_COLUMNS)
        urls = row["page_url"], row["image_url"]
        key, finding = match_id(image, *urls), finding_id(result.sha256, image, *urls)
        rows.setdefault(key, {"match_id": key, "finding_id": finding, "image_id": image, **row, **seen})
    return list(rows.values())


def stored_result(rows: Iterable[Row[Any]]) -> CopySearchResult:
    """The result stored in the row of an image, joined to each of its matches, or to none."""
    rows = list(rows)
    found = tuple(CopyMatch(**_fields(row, _MATCH_COLUMNS)) for row in rows if row.match_id)
    return CopySearchResult(**_fields(rows[0], _IMAGE_COLUMNS), matches=found)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _values(record: CopyMatch | CopySearchResult, columns: Mapping[str, str]) -> NewRow:
    values = ((column, getattr(record, name)) for name, column in columns.items())
    return {column: clean(value) if isinstance(value, str) else value for column, value in values}


def _fields(row: Row[Any], columns: Mapping[str, str]) -> dict[str, Any]:
    return {name: getattr(row, column) for name, column in columns.items()}
