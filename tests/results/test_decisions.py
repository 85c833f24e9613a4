"""Decisions of people and of the operator, on every database."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.decisions import VERDICTS, Decision
from airflow_provider_yandex_vision.results.findings import Findings
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from tests.results.samples import MONDAY, TUESDAY, select_rows


@pytest.fixture
def findings(engine: Engine, table: ResultTable) -> Findings:
    return Findings(engine, table.name, now=lambda: TUESDAY)


def stored(engine: Engine, table: ResultTable, *columns: str) -> list[tuple[Any, ...]]:
    return select_rows(engine, f"{table.name}_decisions", *(columns or ("kind", "subject", "verdict", "decided_by")))


def insert(engine: Engine, table: ResultTable, kind: str, subject: str, verdict: str) -> None:
    """As people do with SQL."""
    with engine.begin() as connection:
        connection.execute(
            text(f"INSERT INTO {table.name}_decisions (kind, subject, verdict) VALUES (:kind, :subject, :verdict)"),
            {"kind": kind, "subject": subject, "verdict": verdict},
        )


def test_a_decision_replaces_the_one_before(engine: Engine, table: ResultTable, findings: Findings) -> None:
    findings.decisions.write(
        [Decision(kind="site", subject="a.example", verdict="case", note="nul\0", decided_by="Ann")]
    )
    again = Decision(kind="site", subject="a.example", verdict="licensed", decided_by="Ben", decided_at=MONDAY)
    findings.decisions.write([again, Decision(kind="finding", subject="0" * 64, verdict="ignored")])
    assert stored(engine, table) == [("finding", "0" * 64, "ignored", None), ("site", "a.example", "licensed", "Ben")]
    assert {note for (note,) in stored(engine, table, "note")} == {None}


def test_the_last_decision_about_a_subject_wins(engine: Engine, table: ResultTable, findings: Findings) -> None:
    findings.decisions.write([Decision(kind="site", subject="a.example", verdict=verdict) for verdict in VERDICTS])
    assert stored(engine, table, "verdict") == [(VERDICTS[-1],)]


@pytest.mark.parametrize("verdict", ["", "Own", "licenced"])
def test_a_misspelt_verdict_is_refused(verdict: str) -> None:
    with pytest.raises(ConfigurationError, match="use own, licensed, ignored, case"):
        Decision(kind="site", subject="a.example", verdict=verdict)


def test_own_sites_become_decisions(engine: Engine, table: ResultTable, findings: Findings) -> None:
    findings.decisions.sync_own_sites(["a.example", "b.example"], "dag.task")
    findings.decisions.sync_own_sites(["b.example", "c.example"], "dag.task")
    assert stored(engine, table) == [("site", each, "own", "dag.task") for each in ("b.example", "c.example")]


def test_what_a_person_decided_stays(engine: Engine, table: ResultTable, findings: Findings) -> None:
    findings.decisions.write([Decision(kind="site", subject="a.example", verdict="case", decided_by="Ann")])
    insert(engine, table, "site", "b.example", "own")
    findings.decisions.sync_own_sites(["a.example", "b.example", "c.example"], "dag.task")
    findings.decisions.write([Decision(kind="site", subject="c.example", verdict="licensed", decided_by="Ann")])
    findings.decisions.sync_own_sites([], "dag.task")
    assert stored(engine, table) == [
        ("site", "a.example", "case", "Ann"),
        ("site", "b.example", "own", None),
        ("site", "c.example", "licensed", "Ann"),
    ]


def test_a_verdict_that_a_person_changed_with_sql_stays(engine: Engine, table: ResultTable, findings: Findings) -> None:
    findings.decisions.sync_own_sites(["a.example"], "dag.task")
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {table.name}_decisions SET verdict = 'case'"))
    findings.decisions.sync_own_sites(["a.example"], "dag.task")
    findings.decisions.sync_own_sites([], "dag.task")
    assert stored(engine, table, "verdict") == [("case",)]


def test_a_task_takes_back_its_own_sites_only(engine: Engine, table: ResultTable, findings: Findings) -> None:
    findings.decisions.sync_own_sites(["a.example"], "dag.one")
    findings.decisions.sync_own_sites([], "dag.two")
    assert stored(engine, table, "subject") == [("a.example",)]


def test_tasks_may_race_to_write_own_sites(engine: Engine, table: ResultTable, findings: Findings) -> None:
    sites = [f"{n}.example" for n in range(50)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: findings.decisions.sync_own_sites(sites, "dag.task"), range(8)))
    assert stored(engine, table, "subject") == sorted((site,) for site in sites)


def test_decisions_that_count_for_nothing_are_reported_in_one_line(
    engine: Engine, table: ResultTable, findings: Findings, caplog: pytest.LogCaptureFixture
) -> None:
    findings.decisions.write([Decision(kind="site", subject="a.example", verdict="own")])
    findings.decisions.warn_of_unknown()
    assert not caplog.records
    insert(engine, table, "site", "b\n.example", "licenced")
    insert(engine, table, "sight", "c.example", "own")
    findings.decisions.warn_of_unknown()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "2 decisions" in record.getMessage()
    assert "'licenced' about site b\\n.example" in record.getMessage()
    assert "'own' about sight c.example" in record.getMessage()


def test_a_long_list_of_them_is_cut(
    engine: Engine, table: ResultTable, findings: Findings, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(9):
        insert(engine, table, "site", f"{n}.example", "?")
    findings.decisions.warn_of_unknown()
    assert "9 decisions" in caplog.text
    assert "4.example, …" in caplog.text
    assert "5.example" not in caplog.text
