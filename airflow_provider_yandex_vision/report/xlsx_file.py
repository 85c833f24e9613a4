"""Findings as a workbook, with a thumbnail in each row. Needs the extra ``xlsx``."""

from __future__ import annotations

from datetime import timezone
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from airflow_provider_yandex_vision.report.finding import Finding
from airflow_provider_yandex_vision.report.untrusted import web_url

MAX_ROWS = 20_000
"""More pictures make a file that spreadsheets hardly open."""

MAX_LINKS = 65_530
MAX_URL_LENGTH = 2_079
MAX_TEXT_LENGTH = 32_767

ROW_PIXELS, COLUMN_PIXELS, SIDE = 96, 128, 88

COLUMNS = (
    ("picture", 18),
    ("site", 24),
    ("title", 40),
    ("page_url", 50),
    ("image_url", 50),
    ("first_seen_at", 18),
    ("last_seen_at", 18),
    ("pictures", 9),
    ("current", 9),
    ("verdict", 12),
    ("note", 30),
    ("decided_by", 18),
    ("decided_at", 18),
    ("image_uri", 50),
    ("description", 50),
    ("finding_id", 70),
)
"""Names, and widths in characters. All but the first are those of the CSV."""

LINKS = ("page_url", "image_url")


def can_write_xlsx() -> bool:
    return find_spec("xlsxwriter") is not None


class XlsxFile:
    """Written row by row; what the web wrote is text, never a formula."""

    def __init__(self, path: Path) -> None:
        from xlsxwriter import Workbook

        options = {
            "constant_memory": True,
            "tmpdir": str(path.parent),
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        }
        self._book: Any = Workbook(str(path), options)
        self._sheet: Any = self._book.add_worksheet("Copies")
        self._text = self._book.add_format({"valign": "top", "text_wrap": True})
        self._time = self._book.add_format({"valign": "top", "num_format": "yyyy-mm-dd hh:mm", "align": "left"})
        self._link = self._book.add_format(
            {"valign": "top", "text_wrap": True, "font_color": "#1155cc", "underline": True}
        )
        self.rows = 0
        self._links = 0
        heading = self._book.add_format({"bold": True, "bottom": 1})
        for column, (name, width) in enumerate(COLUMNS):
            self._sheet.set_column(column, column, width)
            self._sheet.write_string(0, column, name, heading)
        self._sheet.freeze_panes(1, 1)

    def __enter__(self) -> XlsxFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.rows:
            self._sheet.autofilter(0, 0, self.rows, len(COLUMNS) - 1)
        self._book.close()

    @property
    def is_full(self) -> bool:
        return self.rows >= MAX_ROWS

    def write(self, finding: Finding, thumbnail: Path | None) -> None:
        self.rows += 1
        self._sheet.set_row_pixels(self.rows, ROW_PIXELS)
        if thumbnail:
            self._draw(thumbnail)
        else:
            self._sheet.write_string(self.rows, 0, "-", self._text)
        for column, (name, _) in enumerate(COLUMNS[1:], start=1):
            self._cell(column, name, getattr(finding, name))

    def _draw(self, thumbnail: Path) -> None:
        from PIL import Image as Pillow

        with Pillow.open(thumbnail) as image:
            scale = SIDE / max(image.size)
        place = {"x_scale": scale, "y_scale": scale, "x_offset": 4, "y_offset": 4, "object_position": 1}
        self._sheet.insert_image(self.rows, 0, str(thumbnail), place)

    def _cell(self, column: int, name: str, value: Any) -> None:
        if value is None:
            return
        if isinstance(value, bool):
            self._sheet.write_boolean(self.rows, column, value, self._text)
        elif isinstance(value, int):
            self._sheet.write_number(self.rows, column, value, self._text)
        elif not isinstance(value, str):
            moment = value.astimezone(timezone.utc).replace(tzinfo=None)
            self._sheet.write_datetime(self.rows, column, moment, self._time)
        elif name in LINKS and len(quote(value)) <= MAX_URL_LENGTH and self._links < MAX_LINKS and web_url(value):
            self._links += 1
            self._sheet.write_url(self.rows, column, value, self._link, value)
        else:
            self._sheet.write_string(self.rows, column, _fitting(value), self._text)


def _fitting(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:MAX_TEXT_LENGTH]
