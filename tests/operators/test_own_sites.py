"""Own sites and decisions, as the search operator obeys them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.compat import AirflowFailException
from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.operators.open_matches import open_findings, to_dict
from airflow_provider_yandex_vision.results.database import sql_engine
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult
from tests.operators.conftest import IN_TABLE, Query, search

CATS, NEWS, CAFE = "cats.example", "news.example", "cafe.example"


def counts(summary: dict[str, Any]) -> tuple[int, int]:
    return summary["open_matches"], summary["new_open_matches"]


def on(domain: str, page: str = "/") -> CopyMatch:
    return CopyMatch("", f"https://{domain}{page}", "", "", 1, domain, domain)


class TestWithoutTable:
    def test_every_match_says_whether_it_is_open(self, emulator: Service, pictures: Path) -> None:
        summary = search(pictures, own_sites=[CATS])
        matches = [match for result in summary["results"] for match in result["matches"]]
        assert {match["domain"] for match in matches if not match["open"]} == {CATS}
        assert {match["domain"] for match in matches if match["open"]} == {NEWS, CAFE}

    def test_open_matches_are_counted_by_page_and_content(self) -> None:
        results = [
            CopySearchResult("s3://b/1", "found", matches=(on("a.example"), on("own.example")), sha256="1"),
            CopySearchResult("s3://b/2", "found", matches=(on("a.example"), on("www.own.example")), sha256="1"),
            CopySearchResult("s3://b/3", "found", matches=(on("a.example"), on("notown.example")), sha256="3"),
        ]
        assert len(open_findings(results, {"own.example"})) == 3
        assert [match["open"] for match in to_dict(results[1], {"own.example"})["matches"]] == [True, False]

    def test_matches_that_xcom_has_no_room_for_are_counted(self) -> None:
        huge = replace(on("a.example"), title="x" * 10**6)
        shown = to_dict(CopySearchResult("s3://b/1", "found", matches=(huge, on("own.example"))), {"own.example"})
        assert [match["open"] for match in shown["matches"]] == [False]
        assert shown["open_matches"] == 1

    def test_all_are_new(self, emulator: Service, pictures: Path) -> None:
        everything, elsewhere = search(pictures), search(pictures, own_sites=f"https://www.{CATS}/, {NEWS.upper()}")
        assert counts(everything)[0] == counts(everything)[1] > counts(elsewhere)[0] == counts(elsewhere)[1] > 0

    @pytest.mark.parametrize(
        ("own_sites", "problem"),
        [
            (["example.com:80"], "has a port"),
            ("*.example.com", "has a wildcard"),
            ("192.168.0.1", "is an address"),
            ([5], "is not a site"),
            (5, "is not a list"),
        ],
    )
    def test_what_is_no_site_fails_before_any_request(
        self, emulator: Service, pictures: Path, own_sites: Any, problem: str
    ) -> None:
        with pytest.raises(AirflowFailException, match=problem):
            search(pictures, own_sites=own_sites)
        assert emulator.statistics()["requests"] == {}

    def test_own_sites_are_templated(self) -> None:
        assert "own_sites" in YandexVisionCopySearchOperator.template_fields


class TestWithTable:
    def test_own_sites_become_decisions_while_they_are_listed(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        query = "SELECT kind, subject, verdict, decided_by FROM copies_decisions ORDER BY subject"
        search(pictures, own_sites=[CATS, NEWS], **IN_TABLE)
        assert database(query) == [("site", site, "own", "dag.search") for site in (CATS, NEWS)]
        search(pictures, "run 2", own_sites=[NEWS], **IN_TABLE)
        assert database(query) == [("site", NEWS, "own", "dag.search")]

    def test_open_matches_are_findings_that_nobody_decided_about(
        self, emulator: Service, pictures: Path, database: Query
    ) -> None:
        everything = search(pictures, **IN_TABLE)
        findings = database("SELECT count(*) FROM copies_findings")[0][0]
        assert counts(everything) == (findings, findings)
        assert everything["new_matches"] > findings
        decided = search(pictures, "run 2", own_sites=[CATS], **IN_TABLE)
        assert counts(decided) == (database("SELECT count(*) FROM copies_open")[0][0], 0)
        assert counts(decided)[0] < findings

    def test_a_moved_folder_is_no_news(self, emulator: Service, pictures: Path, database: Query) -> None:
        first = search(pictures, **IN_TABLE)
        moved = search(pictures.rename(pictures.with_name("moved")), "run 2", **IN_TABLE)
        assert moved["new_matches"] == first["new_matches"]
        assert counts(moved) == (counts(first)[0], 0)

    def test_a_plan_decides_nothing(self, emulator: Service, pictures: Path, database: Query) -> None:
        plan = search(pictures, own_sites=[CATS], plan_only=True, **IN_TABLE)
        assert counts(plan) == (0, 0)
        assert database("SELECT * FROM copies_decisions") == []

    def test_an_unknown_verdict_is_reported_once(
        self, emulator: Service, pictures: Path, database: Query, caplog: pytest.LogCaptureFixture
    ) -> None:
        search(pictures, own_sites=[CATS], **IN_TABLE)
        engine = sql_engine("results_db")
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE copies_decisions SET verdict = 'owned'")
        engine.dispose()
        assert not [each for each in caplog.messages if "count as undecided" in each]
        decided = search(pictures, "run 2", **IN_TABLE)
        (line,) = [each for each in caplog.messages if "count as undecided" in each]
        assert line.endswith(f"'owned' about site {CATS}")
        assert counts(decided)[0] == database("SELECT count(*) FROM copies_findings")[0][0]
