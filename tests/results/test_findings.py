"""Findings, their verdicts and what reports show of them, on every database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.decisions import Decision
from airflow_provider_yandex_vision.results.findings import SELECTIONS, Findings
from airflow_provider_yandex_vision.results.rows import TaskKey, finding_id
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, TableError
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult
from airflow_provider_yandex_vision.vision.sites import site_of
from tests.results.samples import FIRST_RUN, MONDAY, SECOND_RUN, SHA, TUESDAY, WEDNESDAY, found, match, unanswered

OTHER_SHA = SHA[::-1]


@pytest.fixture
def findings(engine: Engine, table: ResultTable) -> Findings:
    return Findings(engine, table.name, now=lambda: WEDNESDAY)


@pytest.fixture
def write(engine: Engine, table: ResultTable) -> Callable[..., None]:
    def write(*results: CopySearchResult, task: TaskKey = FIRST_RUN) -> None:
        ResultTable(engine, table.name, task).write(results)

    return write


def on(host: str, page: str = "", rank: int = 1, **fields: str) -> CopyMatch:
    return match(f"https://{host}/{page}", rank, domain=host, site=site_of(host), **fields)


def pages(rows: Any) -> list[str]:
    return sorted(row["page_url"] for row in rows)


def decide(findings: Findings, **verdicts: str) -> None:
    """About sites, with ``_`` for dots."""
    made = [
        Decision(kind="site", subject=name.replace("_", "."), verdict=verdict) for name, verdict in verdicts.items()
    ]
    findings.decisions.write(made)


def test_a_finding_is_a_page_that_shows_a_content(findings: Findings, write: Callable[..., None]) -> None:
    write(
        found("s3://b/1", on("a.example", rank=3, title="Кот", description="on a mat"), sha256=SHA, at=MONDAY),
        found("s3://b/2", on("a.example", rank=2, title="Cat"), sha256=SHA, at=TUESDAY),
        found("s3://b/3", on("a.example"), sha256=OTHER_SHA),
    )
    [first, other] = sorted(findings.select("all"), key=lambda row: row["pictures"], reverse=True)
    assert first == {
        "finding_id": finding_id(SHA, "", "https://a.example/", ""),
        "page_url": "https://a.example/",
        "domain": "a.example",
        "site": "a.example",
        "title": "Cat",
        "description": "",
        "image_url": "https://a.example/.jpg",
        "rank": 2,
        "image_uri": "s3://b/2",
        "pictures": 2,
        "first_seen_at": MONDAY,
        "last_seen_at": TUESDAY,
        "current": True,
        "verdict": None,
        "note": None,
        "decided_by": None,
        "decided_at": None,
        "open": True,
    }
    assert (other["pictures"], other["image_uri"], other["rank"]) == (1, "s3://b/3", 1)


def test_files_with_the_same_picture_are_one_picture_on_all_its_pages(
    findings: Findings, write: Callable[..., None]
) -> None:
    shown = [on(f"{letter}.example", rank=rank) for rank, letter in enumerate("abcdefgh", start=1)]
    write(*(found(f"s3://b/{number}", *shown, sha256=SHA) for number in range(3)))
    assert len({row["image_uri"] for row in findings.select("all")}) == 1


def test_a_page_that_is_gone_is_no_longer_open(findings: Findings, write: Callable[..., None]) -> None:
    write(found("s3://b/1", on("a.example"), on("b.example"), sha256=SHA))
    write(found("s3://b/1", on("b.example"), sha256=SHA, at=TUESDAY))
    assert pages(findings.select("open")) == ["https://b.example/"]
    [gone] = findings.select("gone")
    assert (gone["page_url"], gone["current"], gone["open"]) == ("https://a.example/", False, False)
    write(found("s3://b/1", on("a.example"), sha256=SHA, at=WEDNESDAY))
    assert pages(findings.select("gone")) == ["https://b.example/"]


def test_an_image_that_was_moved_away_keeps_no_page_current(findings: Findings, write: Callable[..., None]) -> None:
    write(found("s3://old/1", on("a.example"), on("b.example"), sha256=SHA))
    write(found("s3://new/1", on("b.example"), sha256=SHA, at=TUESDAY))
    assert pages(findings.select("gone")) == ["https://a.example/"]
    [row] = findings.select("open")
    assert (row["page_url"], row["image_uri"], row["first_seen_at"]) == ("https://b.example/", "s3://new/1", MONDAY)


def test_a_search_without_an_answer_changes_no_finding(findings: Findings, write: Callable[..., None]) -> None:
    write(found("s3://b/1", on("a.example"), sha256=SHA))
    write(unanswered("s3://b/1", "failed", TUESDAY, sha256=SHA), unanswered("s3://b/2", "failed", TUESDAY, sha256=SHA))
    assert pages(findings.select("open")) == ["https://a.example/"]


def test_a_changed_picture_leaves_the_findings_of_the_old_one(findings: Findings, write: Callable[..., None]) -> None:
    write(found("s3://b/1", on("a.example"), on("b.example"), sha256=SHA))
    write(found("s3://b/1", on("a.example"), sha256=OTHER_SHA, at=TUESDAY))
    assert [row["finding_id"] for row in findings.select("open")] == [
        finding_id(OTHER_SHA, "", "https://a.example/", "")
    ]


@pytest.mark.parametrize(
    ("host", "subject", "verdict"),
    [
        ("a.example", "a.example", "own"),
        ("www.a.example", "a.example", "licensed"),
        ("deep.down.www.a.example", "a.example", "ignored"),
        ("x.y.z.u.v.w.a.example", "a.example", "case"),
        ("img.a.example", "img.a.example", "own"),
        ("b.img.a.example", "img.a.example", "licensed"),
        ("d.c.b.img.a.example", "img.a.example", "ignored"),
        ("пример.рф", "пример.рф", "case"),
        ("anna.github.io", "anna.github.io", "own"),
        ("localhost", "localhost", "licensed"),
    ],
)
def test_a_decision_is_about_everything_below(
    findings: Findings, write: Callable[..., None], host: str, subject: str, verdict: str
) -> None:
    write(found("s3://b/1", on(host), on(f"not{subject}", rank=2), sha256=SHA))
    findings.decisions.write(
        [Decision(kind="site", subject=subject, verdict=verdict, note="why", decided_by="Ann", decided_at=MONDAY)]
    )
    assert pages(findings.select("open")) == [f"https://not{subject}/"]
    [row] = [row for row in findings.select("all") if row["domain"] == host]
    assert (row["verdict"], row["note"], row["decided_by"], row["decided_at"]) == (verdict, "why", "Ann", MONDAY)
    assert (row["open"], row["current"]) == (False, True)
    assert pages(findings.select("cases")) == [f"https://{host}/"] * (verdict == "case")


def test_the_closest_decision_wins(findings: Findings, write: Callable[..., None]) -> None:
    write(found("s3://b/1", *(on(host) for host in ("a.example", "x.a.example", "y.x.a.example")), sha256=SHA))
    findings.decisions.write(
        [
            Decision(kind="site", subject="a.example", verdict="own", note="site"),
            Decision(kind="site", subject="x.a.example", verdict="ignored"),
            Decision(kind="finding", subject=finding_id(SHA, "", "https://y.x.a.example/", ""), verdict="case"),
        ]
    )
    verdicts = {row["domain"]: (row["verdict"], row["note"]) for row in findings.select("all")}
    assert verdicts == {
        "a.example": ("own", "site"),
        "x.a.example": ("ignored", None),
        "y.x.a.example": ("case", None),
    }


def test_a_decision_survives_a_moved_file_and_a_renamed_one(findings: Findings, write: Callable[..., None]) -> None:
    write(found("s3://b/1", on("a.example"), sha256=SHA))
    [row] = findings.select("open")
    findings.decisions.write([Decision(kind="finding", subject=row["finding_id"], verdict="licensed")])
    write(found("s3://elsewhere/1", on("a.example"), sha256=SHA, at=TUESDAY))
    write(found("s3://b/renamed", on("a.example", image_url="https://a.example/new.jpg"), sha256=SHA, at=WEDNESDAY))
    assert pages(findings.select("open")) == []


def test_an_unknown_verdict_counts_as_undecided(
    engine: Engine, findings: Findings, table: ResultTable, write: Callable[..., None]
) -> None:
    write(found("s3://b/1", on("x.a.example"), on("b.example"), sha256=SHA))
    decide(findings, a_example="own")
    with engine.begin() as connection:
        for subject in ("x.a.example", "b.example"):
            connection.execute(
                text(f"INSERT INTO {table.name}_decisions (kind, subject, verdict) VALUES ('site', :s, 'licenced')"),
                {"s": subject},
            )
    assert pages(findings.select("open")) == ["https://b.example/"]


def test_findings_come_by_site_and_the_newest_first(findings: Findings, write: Callable[..., None]) -> None:
    write(found("s3://b/1", on("b.example", "1"), on("a.example", "1"), sha256=SHA, at=MONDAY))
    write(found("s3://b/2", on("b.example", "2"), on("a.example", "2"), sha256=OTHER_SHA, at=TUESDAY))
    shown = [row["page_url"] for row in findings.select("open")]
    assert shown == [f"https://{site}.example/{page}" for site in "ab" for page in "21"]


class TestNew:
    def test_is_what_no_other_run_has_shown(self, findings: Findings, write: Callable[..., None]) -> None:
        write(found("s3://b/1", on("a.example"), sha256=SHA))
        assert pages(findings.select("new", "report", "monday")) == ["https://a.example/"]
        write(found("s3://b/1", on("a.example"), on("b.example"), sha256=SHA, at=TUESDAY))
        assert pages(findings.select("new", "report", "tuesday")) == ["https://b.example/"]
        assert pages(findings.select("new", "report", "wednesday")) == []

    def test_is_the_same_for_a_retry_or_a_clear(self, findings: Findings, write: Callable[..., None]) -> None:
        write(found("s3://b/1", on("a.example"), sha256=SHA))
        rows = list(findings.select("new", "report", "monday"))
        assert list(findings.select("new", "report", "monday")) == rows
        findings.mark_reported("report", "monday", [row["finding_id"] for row in rows])
        write(found("s3://b/1", on("a.example"), on("b.example"), sha256=SHA, at=TUESDAY))
        list(findings.select("new", "report", "tuesday"))
        assert list(findings.select("new", "report", "monday")) == [{**row, "last_seen_at": TUESDAY} for row in rows]

    def test_is_told_by_each_report(self, findings: Findings, write: Callable[..., None]) -> None:
        write(found("s3://b/1", on("a.example"), sha256=SHA))
        for report in ("mail", "chat"):
            assert pages(findings.select("new", report, "monday")) == ["https://a.example/"]

    def test_is_not_what_was_decided(self, findings: Findings, write: Callable[..., None]) -> None:
        write(found("s3://b/1", on("a.example"), on("b.example"), sha256=SHA))
        decide(findings, a_example="own")
        assert pages(findings.select("new", "report", "monday")) == ["https://b.example/"]

    def test_is_kept_for_later_if_the_run_fails(self, findings: Findings, write: Callable[..., None]) -> None:
        write(found("s3://b/1", on("a.example"), on("b.example"), sha256=SHA))
        [shown, _] = findings.select("new", "report", "monday")
        findings.mark_reported("report", "monday", [shown["finding_id"]])
        findings.release("report", "monday")
        assert pages(findings.select("new", "report", "tuesday")) == ["https://b.example/"]

    def test_times_are_those_of_showing(self, engine: Engine, findings: Findings, write: Callable[..., None]) -> None:
        write(found("s3://b/1", on("a.example"), sha256=SHA))
        [row] = findings.select("new", "report", "monday")
        findings.mark_reported("report", "monday", [row["finding_id"]])
        findings.mark_reported("report", "tuesday", [row["finding_id"]])
        reported = findings._kept.reported
        with engine.connect() as connection:
            [stored] = connection.execute(reported.select()).fetchall()
        assert tuple(stored) == ("report", row["finding_id"], "monday", WEDNESDAY, WEDNESDAY)

    def test_is_kept_for_later_if_the_run_is_killed(
        self, engine: Engine, name: str, findings: Findings, write: Callable[..., None]
    ) -> None:
        write(found("s3://b/1", on("a.example"), sha256=SHA))
        assert pages(findings.select("new", "report", "killed")) == ["https://a.example/"]
        assert pages(findings.select("new", "report", "at once")) == []
        later = Findings(engine, name, now=lambda: WEDNESDAY + timedelta(days=1, seconds=1))
        assert pages(later.select("new", "report", "a day later")) == ["https://a.example/"]
        assert pages(later.select("new", "report", "killed")) == []

    def test_is_announced_once_by_runs_that_overlap(
        self, url: str, engine: Engine, table: ResultTable, write: Callable[..., None]
    ) -> None:
        write(*(found(f"s3://b/{n}", on(f"{n}.example"), sha256=f"{n:064}") for n in range(60)))
        engines = [engine] * 3 if engine.dialect.name == "duckdb" else [create_engine(url) for _ in range(3)]

        def run(number: int) -> list[str]:
            return pages(Findings(engines[number], table.name).select("new", "report", f"run {number}"))

        with ThreadPoolExecutor(3) as pool:
            announced = [page for shown in pool.map(run, range(3)) for page in shown]
        for each in engines:
            each.dispose()
        assert sorted(announced) == sorted(f"https://{n}.example/" for n in range(60))


def test_numbers_days_and_sites(findings: Findings, write: Callable[..., None]) -> None:
    write(found("s3://b/1", *(on(f"{name}.example") for name in "abcde"), sha256=SHA, at=MONDAY))
    write(found("s3://b/1", *(on(f"{name}.example") for name in "abcd"), on("www.d.example"), sha256=SHA, at=TUESDAY))
    write(found("s3://b/2", sha256=OTHER_SHA))
    decide(findings, a_example="own", b_example="case")
    assert findings.numbers() == {"pictures": 2, "open": 3, "cases": 1, "gone": 1}
    days = findings.new_per_day(3)
    assert days == [(MONDAY.date(), 4), (TUESDAY.date(), 1), (WEDNESDAY.date(), 0)]
    assert findings.new_per_day(2) == days[1:]
    assert [day for day, _ in findings.new_per_day()] == [
        WEDNESDAY.date() - timedelta(days=n) for n in range(89, -1, -1)
    ]
    assert findings.top_sites() == [("d.example", 2), ("c.example", 1)]
    assert findings.top_sites(1) == [("d.example", 2)]


def test_open_findings_of_a_task_are_counted(findings: Findings, write: Callable[..., None]) -> None:
    write(
        found("s3://b/1", on("a.example"), on("b.example"), sha256=SHA), found("s3://b/2", on("a.example"), sha256=SHA)
    )
    assert findings.count_open(FIRST_RUN) == (2, 2)
    decide(findings, b_example="own")
    assert findings.count_open(FIRST_RUN) == (1, 1)
    write(found("s3://moved/1", on("a.example"), on("c.example"), sha256=SHA, at=TUESDAY), task=SECOND_RUN)
    assert findings.count_open(SECOND_RUN) == (2, 1)
    write(unanswered("s3://moved/1", "failed", WEDNESDAY), task=TaskKey("copies", "third", "search"))
    assert findings.count_open(SECOND_RUN) == (0, 0)
    assert findings.count_open() == (2, 0)


def test_connections_of_pictures(findings: Findings, write: Callable[..., None]) -> None:
    write(found("s3://b/1", sha256=SHA, conn_id="mine"), found("s3://b/2", sha256=SHA))
    assert findings.connections(["s3://b/1", "s3://b/2", "s3://b/3"]) == {"s3://b/1": "mine", "s3://b/2": None}


def test_findings_of_another_table_are_unknown(findings: Findings, write: Callable[..., None]) -> None:
    write(found("s3://b/1", on("a.example"), sha256=SHA))
    [row] = findings.select("all")
    assert findings.unknown([row["finding_id"], "f" * 64]) == ["f" * 64]


@pytest.mark.parametrize("selection", ["", "News", "closed"])
def test_a_misspelt_selection_is_refused(findings: Findings, selection: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"use {', '.join(SELECTIONS)}"):
        findings.select(selection)


def test_a_table_that_was_never_searched_is_an_error(engine: Engine, name: str) -> None:
    with pytest.raises(TableError, match=f"table {name} .* does not exist"):
        Findings(engine, name).prepare()
