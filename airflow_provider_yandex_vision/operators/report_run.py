"""One report: select the findings, write the files. Needs no operator."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import nlargest
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_provider_yandex_vision.compat import AirflowSkipException
from airflow_provider_yandex_vision.images.again import StoredPictures
from airflow_provider_yandex_vision.images.output import Output
from airflow_provider_yandex_vision.report.csv_file import CsvFile
from airflow_provider_yandex_vision.report.finding import Finding
from airflow_provider_yandex_vision.report.languages import language_of
from airflow_provider_yandex_vision.report.message import message
from airflow_provider_yandex_vision.report.page import Page
from airflow_provider_yandex_vision.report.thumbnails import Thumbnails
from airflow_provider_yandex_vision.report.xlsx_file import MAX_ROWS, XlsxFile, can_write_xlsx
from airflow_provider_yandex_vision.results.database import sql_engine
from airflow_provider_yandex_vision.results.findings import SELECTIONS, Findings, Selection
from airflow_provider_yandex_vision.search.decoding import require_pillow
from airflow_provider_yandex_vision.search.spill import SpillDict
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, printable
from airflow_provider_yandex_vision.vision.models import utc_now

log = logging.getLogger(__name__)

HTML, CSV, XLSX = "copies.html", "copies.csv", "copies.xlsx"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What to show and where it goes, as documented by the operator.

    :param report: name under which this report remembers what it has shown.
    :raises ConfigurationError: a value is invalid, or a library is missing.
    """

    table: str
    sql_conn_id: str
    output: str
    select: Selection = "new"
    always: bool = False
    language: str = "en"
    remote_pictures: bool = False
    max_findings: int = 500
    link_expires: timedelta = timedelta(days=7)
    report_base_url: str | None = None
    report: str
    run_id: str

    def __post_init__(self) -> None:
        if not self.table or not self.sql_conn_id:
            raise ConfigurationError(f"set both: table={self.table!r}, sql_conn_id={self.sql_conn_id!r}")
        if self.select not in SELECTIONS:
            raise ConfigurationError(f"select must be one of {', '.join(SELECTIONS)}, not {self.select!r}")
        if self.max_findings < 1:
            raise ConfigurationError(f"max_findings must be at least 1, not {self.max_findings}")
        if self.link_expires <= timedelta(0):
            raise ConfigurationError(f"link_expires must be positive, not {self.link_expires}")
        language_of(self.language)
        require_pillow("the report")


@dataclass
class Selected:
    """What was selected: counts of all, and the newest findings themselves."""

    finding_ids: list[str] = field(default_factory=list)
    sites: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    newest: list[Finding] = field(default_factory=list)


def run_report(report: Report) -> dict[str, Any]:
    """:return: the operator's result.

    :raises AirflowSkipException: there is nothing to show.
    """
    with ExitStack() as resources:
        output = Output(report.output)
        engine = sql_engine(report.sql_conn_id)
        resources.callback(engine.dispose)
        findings = Findings(engine, report.table)
        findings.prepare()
        folder = Path(resources.enter_context(TemporaryDirectory(prefix="copy-report-")))
        try:
            result = _write(report, findings, output, folder)
        except BaseException:
            # The next run shows what this one has claimed and not shown.
            findings.release(report.report, report.run_id)
            raise
    return result


def _write(report: Report, findings: Findings, output: Output, folder: Path) -> dict[str, Any]:
    selected = _select(report, findings, folder / CSV)
    if not selected.finding_ids:
        if not findings.numbers()["pictures"]:
            raise ConfigurationError(f"table {report.table} is empty: search for copies with it first")
        if not report.always:
            raise AirflowSkipException("there is nothing to show")
    # The first file shows whether the output can be written, before the work on the pictures.
    files = {"csv": output.put(folder / CSV)}
    _make_files(report, findings, selected, folder)
    files["html"] = output.put(folder / HTML)
    if (folder / XLSX).exists():
        files["xlsx"] = output.put(folder / XLSX)
    if report.select == "new":
        findings.mark_reported(report.report, report.run_id, selected.finding_ids)
    text = message(language_of(report.language), report.select, selected.sites, selected.pictures)
    log.info("%s", text)
    log.info("The page is %s", printable(files["html"]))
    return {
        "findings": len(selected.finding_ids),
        "sites": len(selected.sites),
        "pictures": selected.pictures,
        "files": files,
        "text": text,
        "html_url": output.link(HTML, report.report_base_url, report.link_expires),
    }


def _select(report: Report, findings: Findings, csv: Path) -> Selected:
    """Write all to the CSV, and keep those that the page and the workbook show."""
    kept = max(report.max_findings, MAX_ROWS if can_write_xlsx() else 0)
    selected = Selected()
    with csv.open("w", encoding="utf-8-sig", newline="") as file, closing(SpillDict()) as pictures:
        rows = CsvFile(file)

        def written() -> Iterator[Finding]:
            for row in findings.select(report.select, report.report, report.run_id):
                finding = Finding.of(row)
                rows.write(finding)
                selected.finding_ids.append(finding.finding_id)
                selected.sites[finding.site] += 1
                selected.pictures += pictures.add(finding.image_uri)
                yield finding

        selected.newest = nlargest(kept, written(), key=attrgetter("first_seen_at"))
    return selected


def _make_files(report: Report, findings: Findings, selected: Selected, folder: Path) -> None:
    pictures = StoredPictures()
    conn_ids = findings.connections({finding.image_uri for finding in selected.newest})
    (folder / "thumbnails").mkdir()
    thumbnails = Thumbnails(
        folder / "thumbnails", lambda finding: pictures.open(finding.image_uri, conn_ids.get(finding.image_uri))
    )
    on_page = selected.newest[: report.max_findings]
    numbers = findings.numbers()
    if report.select == "new":
        numbers["new"] = len(selected.finding_ids)
    page = Page(
        language=language_of(report.language),
        table=report.table,
        select=report.select,
        made_at=utc_now(),
        numbers=numbers,
        new_per_day=findings.new_per_day(),
        top_sites=findings.top_sites(),
        findings=on_page,
        selected=len(selected.finding_ids),
        remote_pictures=report.remote_pictures,
    )
    if can_write_xlsx():
        thumbnails.make(selected.newest)
        with XlsxFile(folder / XLSX) as workbook:
            for finding in selected.newest[:MAX_ROWS]:
                workbook.write(finding, thumbnails.file(finding))
        if len(selected.finding_ids) > MAX_ROWS:
            log.warning("%s has the newest %s findings, %s has all", XLSX, f"{MAX_ROWS:,}", CSV)
    else:
        thumbnails.make(on_page)
        log.info("No %s: it needs pip install 'airflow-provider-yandex-vision[xlsx]'", XLSX)
    with (folder / HTML).open("wb") as file:
        page.write(file, thumbnails.data_url)
