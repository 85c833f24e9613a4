from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest

from airflow_provider_yandex_vision.report import xlsx_file
from airflow_provider_yandex_vision.report.finding import Finding
from airflow_provider_yandex_vision.report.thumbnails import thumbnail
from airflow_provider_yandex_vision.report.xlsx_file import XlsxFile
from tests.report.samples import finding, picture
from tests.support.hostile import CODE, FORGERY


def written(path: Path, *findings: Finding, drawing: Path | None = None) -> dict[str, str]:
    """The parts of a workbook."""
    with XlsxFile(path) as workbook:
        for each in findings:
            workbook.write(each, drawing)
    with ZipFile(path) as parts:
        return {name: parts.read(name).decode("utf-8", "replace") for name in parts.namelist()}


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    (tmp_path / "thumbnail.jpg").write_bytes(thumbnail(picture()))
    return tmp_path / "thumbnail.jpg"


def test_each_row_has_a_thumbnail(tmp_path: Path, drawing: Path) -> None:
    parts = written(tmp_path / "copies.xlsx", finding(1), finding(2), drawing=drawing)
    anchors = re.findall(r"<xdr:from>.*?<xdr:row>(\d+)</xdr:row>", parts["xl/drawings/drawing1.xml"])
    assert anchors == ["1", "2"]


def test_the_same_picture_is_stored_once(tmp_path: Path, drawing: Path) -> None:
    parts = written(tmp_path / "copies.xlsx", *map(finding, range(20)), drawing=drawing)
    assert [name for name in parts if name.startswith("xl/media/")] == ["xl/media/image1.jpeg"]


def test_picture_that_is_gone_leaves_a_dash(tmp_path: Path) -> None:
    parts = written(tmp_path / "copies.xlsx", finding())
    assert "xl/drawings/drawing1.xml" not in parts
    assert '<c r="A2"' in parts["xl/worksheets/sheet1.xml"]


def test_pages_and_pictures_are_links(tmp_path: Path) -> None:
    links = written(tmp_path / "copies.xlsx", finding())["xl/worksheets/_rels/sheet1.xml.rels"]
    assert "https://www.daily-news.example/page/1" in links
    assert "https://img.daily-news.example/1.jpg" in links


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file://server/share",
        "internal:Copies!A1",
        "external:c:\\x.xlsx",
        f"https://a.example/{'x' * 3000}",
        "mailto:a@b.example",
    ],
)
def test_other_urls_are_text(tmp_path: Path, url: str) -> None:
    parts = written(tmp_path / "copies.xlsx", finding(page_url=url, image_url=url, title=url, note=url))
    assert not [name for name in parts if name.endswith("sheet1.xml.rels")]


@pytest.mark.parametrize("text", [*CODE.values(), FORGERY, "=HYPERLINK(1)", "{=1+1}", "x" * 40_000, "\udcff", "00123"])
def test_hostile_text_is_text(tmp_path: Path, text: str) -> None:
    sheet = written(tmp_path / "copies.xlsx", finding(title=text, description=text, note=text))[
        "xl/worksheets/sheet1.xml"
    ]
    assert "<f>" not in sheet
    ElementTree.fromstring(sheet)


def test_links_beyond_excels_limit_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_file, "MAX_LINKS", 3)
    parts = written(tmp_path / "copies.xlsx", *map(finding, range(4)))
    assert parts["xl/worksheets/_rels/sheet1.xml.rels"].count("Target=") == 3
