"""All findings as CSV, for spreadsheets and programs."""

from __future__ import annotations

import csv
from dataclasses import fields
from datetime import datetime, timezone
from typing import IO, Any

from airflow_provider_yandex_vision.report.finding import Finding
from airflow_provider_yandex_vision.report.untrusted import cell

COLUMNS = tuple(field.name for field in fields(Finding))


class CsvFile:
    """Columns of ``<table>_findings``; times in UTC, ISO 8601. Written row by row.

    :param file: opened with the encoding ``utf-8-sig``, by whose mark Excel knows UTF-8, and ``newline=""``.
    """

    def __init__(self, file: IO[str]) -> None:
        self._rows = csv.writer(file)
        self._rows.writerow(COLUMNS)

    def write(self, finding: Finding) -> None:
        self._rows.writerow([_text(getattr(finding, name)) for name in COLUMNS])


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    # A lone surrogate has no place in UTF-8.
    return cell(value.encode("utf-8", "replace").decode()) if isinstance(value, str) else str(value)
