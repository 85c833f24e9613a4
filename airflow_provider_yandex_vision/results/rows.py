"""Results as rows, and rows as results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy.engine import Row

from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult, clean

NewRow: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True)
class TaskKey:
    """The task instance that searches, as Airflow names it. Its attempts are all the same run."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


def image_id(uri: str) -> str:
    """Key of an image: SHA-256, in hex, of its URI in UTF-8.

    File names that are not UTF-8 reach Python with lone surrogates, which go through as they are.
    """
    return hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()


def match_id(image: str, page_url: str, image_url: str) -> str:
    """Key of a match: SHA-256, in hex, of image_id, page_url and image_url with NUL between them."""
    return hashlib.sha256("\0".join((image, page_url, image_url)).encode()).hexdigest()


def image_row(result: CopySearchResult, run: TaskKey, match_count: int | None) -> NewRow:
    """:param match_count: rows of matches; None where the search brought no answer."""
    return {
        "image_id": image_id(result.uri),
        "image_uri": _storable(result.uri),
        "status": result.status,
        "copy_count": result.copy_count,
        "match_count": match_count,
        "error_code": result.error_code and _storable(result.error_code),
        "error_message": result.error_message and _storable(result.error_message),
        "content_sha256": result.sha256,
        "etag": result.etag and _storable(result.etag),
        "size_bytes": result.size,
        "mime_type": result.mime_type and _storable(result.mime_type),
        "searched_at": result.searched_at,
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "task_id": run.task_id,
        "map_index": run.map_index,
    }


def match_rows(result: CopySearchResult, run: TaskKey) -> list[NewRow]:
    """One row a page and picture; of two with the same key the more relevant one."""
    image = image_id(result.uri)
    rows: dict[str, NewRow] = {}
    for match in sorted(result.matches, key=lambda match: match.rank):
        page_url, image_url = _storable(match.page_url), _storable(match.image_url)
        key = match_id(image, page_url, image_url)
        if key in rows:
            continue
        rows[key] = {
            "match_id": key,
            "image_id": image,
            "rank_no": match.rank,
            "image_url": image_url,
            "page_url": page_url,
            "domain": _storable(match.domain),
            "title": _storable(match.title),
            "description": _storable(match.description),
            "first_seen_at": result.searched_at,
            "last_seen_at": result.searched_at,
            "first_seen_run_id": run.run_id,
        }
    return list(rows.values())


def result_of(image: Row[Any], matches: Iterable[Row[Any]]) -> CopySearchResult:
    """The answer that a row of an image and its rows of matches keep."""
    return CopySearchResult(
        uri=image.image_uri,
        status=image.status,
        copy_count=image.copy_count,
        matches=tuple(_match_of(match) for match in matches),
        sha256=image.content_sha256,
        size=image.size_bytes,
        etag=image.etag,
        mime_type=image.mime_type,
        searched_at=image.searched_at,
    )


def _match_of(row: Row[Any]) -> CopyMatch:
    return CopyMatch(
        image_url=row.image_url,
        page_url=row.page_url,
        title=row.title,
        description=row.description,
        rank=row.rank_no,
        domain=row.domain,
    )


def _storable(text: str) -> str:
    # Most text is ASCII, of which Python knows without looking.
    return text if text.isascii() and "\0" not in text else clean(text)
