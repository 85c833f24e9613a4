from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine

from airflow_provider_yandex_vision import compat
from airflow_provider_yandex_vision.compat import AirflowFailException, AirflowSkipException
from airflow_provider_yandex_vision.operators.copy_report import CopiesReportLink, YandexVisionCopyReportOperator
from airflow_provider_yandex_vision.operators.report_run import Report, run_report
from airflow_provider_yandex_vision.report import thumbnails, xlsx_file
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.search import decoding
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult
from tests.operators.conftest import context
from tests.report.samples import picture
from tests.support.hostile import FORGERY

KINDS = ("csv", "html", *(("xlsx",) if xlsx_file.can_write_xlsx() else ()))
MONDAY = datetime(2026, 11, 23, 6, tzinfo=timezone.utc)


class Web:
    """What a search found, as it is in the table. The pictures are files.

    :param database: of the connection ``results_db``.
    """

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self._engine = create_engine(f"sqlite:///{database}")

    def search(self, day: int, **pages: list[str]) -> None:
        """One search of all pictures.

        :param pages: URLs of pages by the name of the picture.
        """
        table = ResultTable(self._engine, "copies", TaskKey("dag", f"day {day}", "search"))
        table.prepare(create=True)
        table.write([self._result(name, urls, MONDAY + timedelta(days=day)) for name, urls in pages.items()])
        self._engine.dispose()

    def _result(self, name: str, urls: list[str], at: datetime) -> CopySearchResult:
        file = self.folder / f"{name}.jpg"
        if not file.exists():
            file.write_bytes(picture(64, 48))
        matches = tuple(
            CopyMatch(f"{url}.jpg", url, f"Title of {url}", "", n, url.split("/")[2], url.split("/")[2])
            for n, url in enumerate(urls, start=1)
        )
        status = "found" if matches else "none"
        digest = f"{name:0<64}"
        return CopySearchResult(f"file://{file}", status, len(matches), matches, searched_at=at, sha256=digest)  # type: ignore[arg-type]  # one of two


@pytest.fixture
def web(tmp_path: Path, connect: Callable[..., None]) -> Web:
    connect("results_db", conn_type="sqlite", host=str(tmp_path / "results.db"))
    return Web(tmp_path / "pictures", tmp_path / "results.db")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "reports"


def operator(output: object, **arguments: Any) -> YandexVisionCopyReportOperator:
    url = f"file://{output}/" if isinstance(output, Path) else output
    values = {"task_id": "report", "table": "copies", "sql_conn_id": "results_db", "output": url}
    return YandexVisionCopyReportOperator(**{**values, **arguments})


def report(output: object, run_id: str = "day 0", **arguments: Any) -> dict[str, Any]:
    return operator(output, **arguments).execute(context(run_id))


def rows(output: Path) -> list[str]:
    """Pages in the CSV."""
    text = (output / "copies.csv").read_text(encoding="utf-8-sig")
    return sorted(row["page_url"] for row in csv.DictReader(StringIO(text)))


A, B, C = "https://a.example/1", "https://a.example/2", "https://c.example/"


def test_report_says_what_is_new_and_where_its_files_are(web: Web, output: Path) -> None:
    web.search(0, cat=[A, B], dog=[C])
    result = report(output)
    assert result == {
        "findings": 3,
        "sites": 2,
        "pictures": 2,
        "files": {kind: f"file://{output}/copies.{kind}" for kind in KINDS},
        "text": "3 new pages on 2 sites show 2 of your pictures: a.example (2), c.example (1).",
        "html_url": f"file://{output}/copies.html",
    }
    assert rows(output) == [A, B, C]
    html = (output / "copies.html").read_text()
    assert "Title of https://c.example/" in html
    assert html.count("data:image/jpeg;base64,") == 3
    assert {file.name for file in output.iterdir()} == {f"copies.{kind}" for kind in KINDS}


def test_a_page_is_announced_once(web: Web, output: Path) -> None:
    web.search(0, cat=[A])
    report(output)
    web.search(1, cat=[A, C])
    assert report(output, "day 1")["findings"] == 1
    assert rows(output) == [C]
    web.search(2, cat=[A, C])
    with pytest.raises(AirflowSkipException, match="there is nothing to show"):
        report(output, "day 2")


def test_a_retry_shows_the_same_pages_again(web: Web, output: Path) -> None:
    web.search(0, cat=[A, B])
    first = report(output)
    assert report(output) == first


def test_another_report_has_news_of_its_own(web: Web, output: Path) -> None:
    web.search(0, cat=[A])
    report(output)
    assert report(output, "day 1", task_id="weekly")["findings"] == 1


def test_nothing_new_makes_a_report_on_request(web: Web, output: Path) -> None:
    web.search(0, cat=[])
    result = report(output, always=True)
    assert (result["findings"], result["sites"], result["pictures"]) == (0, 0, 0)
    assert result["text"] == "No new pages show your pictures."
    assert "Nothing to show." in (output / "copies.html").read_text()


def test_open_pages_are_shown_every_time(web: Web, output: Path) -> None:
    web.search(0, cat=[A])
    for run_id in ("day 0", "day 1"):
        assert report(output, run_id, select="open")["findings"] == 1


def test_pages_that_are_gone_are_shown(web: Web, output: Path) -> None:
    web.search(0, cat=[A, B])
    web.search(1, cat=[B])
    assert report(output, select="gone")["text"] == (
        "1 page on 1 site no longer shows 1 of your pictures: a.example (1)."
    )
    assert rows(output) == [A]
    assert report(output, select="all")["findings"] == 2


def test_russian_report(web: Web, output: Path) -> None:
    web.search(0, cat=[A])
    assert report(output, language="ru")["text"].startswith("1 новая страница на 1 сайте")
    assert '<html lang="ru">' in (output / "copies.html").read_text()


def test_csv_has_all_and_the_page_the_newest(web: Web, output: Path) -> None:
    web.search(0, cat=[f"https://old.example/{n}" for n in range(5)])
    web.search(1, dog=[A, B])
    report(output, max_findings=2)
    html = (output / "copies.html").read_text()
    assert "This page shows 2 of 7 findings. copies.csv has all." in html
    assert f"Title of {A}" in html
    assert "old.example/" not in html.partition('<form class="filter"')[2]
    assert len(rows(output)) == 7


def test_picture_that_is_gone_costs_only_its_thumbnail(web: Web, output: Path) -> None:
    web.search(0, cat=[A], dog=[C])
    (web.folder / "cat.jpg").unlink()
    assert report(output)["findings"] == 2
    assert (output / "copies.html").read_text().count("data:image/jpeg;base64,") == 1


def test_a_picture_is_read_once(web: Web, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, reads = thumbnails.thumbnail, []

    def count(content: bytes) -> bytes:
        reads.append(content)
        return make(content)

    monkeypatch.setattr(thumbnails, "thumbnail", count)
    web.search(0, cat=[f"https://site.example/{n}" for n in range(20)])
    report(output)
    assert len(reads) == 1


def test_output_is_tried_before_any_picture_is_read(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails.Thumbnails, "make", lambda *_: pytest.fail("a picture was read"))
    web.search(0, cat=[A])
    (tmp_path / "reports").write_text("in the way")
    with pytest.raises(AirflowFailException, match="output cannot be written: file://"):
        report(tmp_path / "reports")


def test_what_a_failed_report_would_have_shown_is_in_the_next_one(web: Web, tmp_path: Path, output: Path) -> None:
    web.search(0, cat=[A])
    (tmp_path / "blocked").write_text("in the way")
    with pytest.raises(AirflowFailException):
        report(tmp_path / "blocked", "day 0")
    assert report(output, "day 1")["findings"] == 1


def test_runs_at_the_same_time_show_each_page_once(web: Web, tmp_path: Path) -> None:
    pages = sorted(f"https://site.example/{n}" for n in range(40))
    web.search(0, cat=pages)
    outputs = [tmp_path / f"run {number}" for number in range(3)]

    def run(folder: Path) -> None:
        with suppress(AirflowSkipException):  # the others were faster
            run_report(operator(folder)._report(context(folder.name)))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, outputs))
    assert sorted(page for folder in outputs if folder.exists() for page in rows(folder)) == pages


def test_table_that_was_never_searched_is_named(web: Web, output: Path) -> None:
    web.search(0)
    with pytest.raises(AirflowFailException, match="table copies is empty: search for copies with it first"):
        report(output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"select": "news"}, "select must be one of new, open, cases, gone, all, not 'news'"),
        ({"language": "de"}, "language must be en or ru, not 'de'"),
        ({"max_findings": 0}, "max_findings must be at least 1, not 0"),
        ({"link_expires": timedelta(0)}, "link_expires must be positive, not 0:00:00"),
        ({"table": ""}, "set both: table='', sql_conn_id='results_db'"),
        ({"table": "other"}, "other"),
        ({"table": "no table"}, "'no table' is not a table name"),
        ({"sql_conn_id": "nowhere"}, r"connection 'nowhere' does not exist \(sql_conn_id\)"),
        ({"output": "reports/"}, "output must be the URL of a directory, such as"),
        ({"output": "s3://nobody@bucket/"}, "connection 'nobody' does not exist"),
    ],
)
def test_bad_parameter_fails_without_retries(web: Web, output: Path, arguments: dict[str, Any], message: str) -> None:
    web.search(0, cat=[A])
    with pytest.raises(AirflowFailException, match=message):
        report(arguments.pop("output", output), **arguments)
    assert not output.exists()


def test_missing_pillow_is_named(web: Web, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "find_spec", lambda name: None)
    with pytest.raises(AirflowFailException, match=r"pip install 'airflow-provider-yandex-vision\[pillow\]'"):
        report(output)


def test_report_without_xlsxwriter_has_no_workbook(
    web: Web, output: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    caplog.handler.setLevel(logging.INFO)
    monkeypatch.setattr(xlsx_file, "find_spec", lambda name: None)
    web.search(0, cat=[A])
    assert set(report(output)["files"]) == {"csv", "html"}
    assert "No copies.xlsx: it needs pip install 'airflow-provider-yandex-vision[xlsx]'" in caplog.messages


def test_text_and_log_quote_no_title(web: Web, output: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setLevel(logging.DEBUG)
    web.search(0, cat=[f"https://a.example/{FORGERY}"])
    result = report(output)
    assert FORGERY not in result["text"]
    assert not [line for line in caplog.messages if "endgroup" in line]


def test_link_opens_the_page(web: Web, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = report_below(output, web)
    values = SimpleNamespace(
        get_value=lambda *, ti_key, key: result if (ti_key, key) == ("ti", "return_value") else None
    )
    monkeypatch.setitem(vars(compat), "XCom", values)
    link = CopiesReportLink()
    assert link.get_link(operator(output), ti_key="ti") == result["html_url"]
    assert link.get_link(operator(output), ti_key="skipped") == ""


def report_below(output: Path, web: Web) -> dict[str, Any]:
    web.search(0, cat=[A])
    return report(output, report_base_url="https://intranet.example/")


def test_base_url_leads_to_the_page(web: Web, output: Path) -> None:
    assert report_below(output, web)["html_url"] == f"https://intranet.example{output}/copies.html"


def test_parameters_are_templated() -> None:
    assert set(YandexVisionCopyReportOperator.template_fields) == {
        "table", "sql_conn_id", "output_url", "select", "language", "report_base_url"
    }  # fmt: skip


def test_report_takes_every_parameter_of_the_operator() -> None:
    defaults = operator("file:///reports/")
    made = defaults._report(context())
    assert made == Report(
        table="copies", sql_conn_id="results_db", output="file:///reports/", report="dag.report", run_id="run 1"
    )
