"""Decisions written by the operator, and what they close."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.compat import AirflowFailException
from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.operators.decide import YandexVisionDecideOperator
from tests.operators.conftest import IN_TABLE, Query, context, search

CATS, NEWS = "cats.example", "news.example"
DECISIONS = "SELECT kind, subject, verdict, note, decided_by FROM copies_decisions ORDER BY kind, subject"


def decide(**arguments: Any) -> dict[str, int]:
    return YandexVisionDecideOperator(task_id="decide", **{**IN_TABLE, **arguments}).execute(context())


@pytest.fixture
def searched(emulator: Service, pictures: Path, database: Query) -> Query:
    search(pictures, **IN_TABLE)
    return database


def open_on(database: Query, site: str) -> int:
    return int(database(f"SELECT count(*) FROM copies_open WHERE site = '{site}'")[0][0])


def test_a_mapping_decides_about_sites(searched: Query) -> None:
    cats, news = open_on(searched, CATS), open_on(searched, NEWS)
    left = searched("SELECT count(*) FROM copies_open")[0][0] - cats - news
    verdicts = {f"https://www.{CATS}/": "licensed", NEWS.upper(): "case", "unheard.example": "own"}
    assert decide(sites=verdicts, note="since May", decided_by="Ann") == {
        "decisions": 3,
        "closed": cats + news,
        "open": left,
    }
    assert searched(DECISIONS) == [
        ("site", CATS, "licensed", "since May", "Ann"),
        ("site", NEWS, "case", "since May", "Ann"),
        ("site", "unheard.example", "own", "since May", "Ann"),
    ]


@pytest.mark.parametrize("sites", [[CATS, NEWS], f"{CATS}, {NEWS}", f"['{CATS}', '{NEWS}']", f"{CATS}\n{NEWS}\n"])
def test_listed_sites_get_the_verdict(searched: Query, sites: Any) -> None:
    decide(sites=sites, verdict="ignored")
    assert searched(DECISIONS) == [("site", site, "ignored", None, None) for site in (CATS, NEWS)]


def test_a_rendered_mapping_is_one(searched: Query) -> None:
    decide(sites=str({CATS: "own"}))
    decide(sites=f'{{"{NEWS}": "case"}}')
    assert searched(DECISIONS) == [("site", CATS, "own", None, None), ("site", NEWS, "case", None, None)]


def test_single_findings_get_the_verdict(searched: Query) -> None:
    ((finding, before),) = searched("SELECT min(finding_id), (SELECT count(*) FROM copies_open) FROM copies_open")
    assert decide(findings=[finding], verdict="case") == {"decisions": 1, "closed": 1, "open": before - 1}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"sites": {CATS: "licenced"}}, "verdict 'licenced' is unknown: use own, licensed, ignored, case"),
        ({"sites": [CATS]}, "verdict '' is unknown"),
        ({"sites": [f"{CATS}:80"], "verdict": "own"}, "has a port"),
        ({"sites": [CATS], "findings": ["f" * 64], "verdict": "own"}, "not a finding in table copies: 'fff"),
        ({"table": "never", "sites": [CATS], "verdict": "own"}, "table never .* does not exist: search"),
        ({"table": "x; drop", "sites": [CATS], "verdict": "own"}, "not a table name"),
    ],
)
def test_a_wrong_value_fails_before_anything_is_written(
    searched: Query, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(AirflowFailException, match=problem):
        decide(**arguments)
    assert searched(DECISIONS) == []


def test_every_argument_is_templated_and_documented() -> None:
    fields = YandexVisionDecideOperator.template_fields
    assert set(fields) == {"table", "sql_conn_id", "sites", "findings", "verdict", "note", "decided_by"}
    assert all(f":param {name}: " in (YandexVisionDecideOperator.__doc__ or "") for name in fields)
