"""What a report is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A page that shows a picture: a row of ``<table>_findings``, column by column.

    :param image_uri: one of the files with the picture, without connection id; ``pictures`` is how many files have it.
    :param object_storage_conn_id: connection that ``image_uri`` is read with.
    :param current: the last search still saw the page.
    :param verdict: ``own``, ``licensed``, ``ignored`` or ``case``; None if nobody has decided.
    :param open: current, and nobody has decided.
    """

    finding_id: str
    page_url: str
    domain: str
    site: str
    title: str
    description: str
    image_url: str
    rank: int
    image_uri: str
    object_storage_conn_id: str | None
    pictures: int
    first_seen_at: datetime
    last_seen_at: datetime
    current: bool
    verdict: str | None
    note: str | None
    decided_by: str | None
    decided_at: datetime | None
    open: bool
