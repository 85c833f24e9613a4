from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.report.csv_file import COLUMNS, CsvFile
from airflow_provider_yandex_vision.report.finding import Finding
from tests.report.samples import NOW, finding
from tests.support.hostile import CODE, FORGERY


def written(path: Path, *findings: Finding) -> list[dict[str, str]]:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        rows = CsvFile(file)
        for each in findings:
            rows.write(each)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_are_those_of_the_view(tmp_path: Path) -> None:
    [row] = written(tmp_path / "copies.csv", finding(title="Кот, «рыжий»"))
    assert tuple(row) == COLUMNS
    assert row["title"] == "Кот, «рыжий»"
    assert row["last_seen_at"] == NOW.isoformat()
    assert (row["current"], row["verdict"], row["pictures"]) == ("true", "", "1")


def test_excel_knows_the_encoding(tmp_path: Path) -> None:
    written(tmp_path / "copies.csv")
    assert (tmp_path / "copies.csv").read_bytes().startswith(b"\xef\xbb\xbffinding_id,")


@pytest.mark.parametrize(
    "name", ["title", "description", "page_url", "image_url", "image_uri", "site", "note", "decided_by"]
)
@pytest.mark.parametrize("formula", [CODE["formula"], CODE["sum"], CODE["plus"], CODE["minus"], "\t=1", "＝1"])
def test_no_column_is_a_formula(tmp_path: Path, name: str, formula: str) -> None:
    fields: dict[str, Any] = {name: formula}
    [row] = written(tmp_path / "copies.csv", finding(**fields))
    assert row[name] == f"'{formula}"


def test_hostile_text_stays_in_its_cell(tmp_path: Path) -> None:
    title = f'{FORGERY}",\r\n"=1+1\udcff'
    rows = written(tmp_path / "copies.csv", finding(title=title), finding(2))
    assert [row["title"] for row in rows] == [title.replace("\udcff", "?"), "Page 2"]
