"""What a report is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A page that shows a picture: a row of ``<table>_findings``, column by column.

    :param image_uri: one of the files with the picture, without connection id; ``pictures`` is how many files have it.
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
    pictures: int
    first_seen_at: datetime
    last_seen_at: datetime
    current: bool
    verdict: str | None
    note: str | None
    decided_by: str | None
    decided_at: datetime | None
    open: bool

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Finding:
        """A row of the view. One whose image was deleted from the table lacks what the image says."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            value, blank = row[field.name], {"str": "", "int": 0}.get(str(field.type))
            values[field.name] = blank if value is None else value
        return cls(**values)
