from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.operators.xcom import MAX_MATCH_BYTES, bounded
from airflow_provider_yandex_vision.vision import CopyMatch, CopySearchResult
from tests.operators.conftest import search
from tests.support.hostile import FORGERY, forges
from tests.support.loopback import reply, serving
from tests.support.pictures import png
from tests.support.secrets import API_KEY


def match(rank: int, title: str = "A page") -> CopyMatch:
    url = f"https://a.test/{rank}"
    return CopyMatch(f"{url}.jpg", url, title, description="", rank=rank, domain="a.test", site="a.test")


def result(*matches: CopyMatch, uri: str = "s3://b/a.jpg") -> CopySearchResult:
    return CopySearchResult(uri=uri, status="found", copy_count=99, matches=matches)


def test_usual_result_is_unchanged(caplog: pytest.LogCaptureFixture) -> None:
    usual = result(*map(match, range(1, 11)))
    assert bounded(usual) == usual
    assert caplog.records == []


@pytest.mark.parametrize("title", ["long " * 200, "🐈" * 100])
def test_most_relevant_matches_that_fit_are_kept(title: str) -> None:
    kept = bounded(result(*(match(rank, title) for rank in range(1, 1000))))
    ranks = [kept_match.rank for kept_match in kept.matches]
    assert ranks == list(range(1, len(ranks) + 1))
    assert len(ranks) > 5
    assert len(json.dumps(kept.to_dict())) < MAX_MATCH_BYTES + 1000
    assert kept.copy_count == 99


def test_huge_match_does_not_displace_the_others() -> None:
    kept = bounded(result(match(1, "x" * 10**6), match(2), match(3)))
    assert [kept_match.rank for kept_match in kept.matches] == [2, 3]


def test_what_is_left_out_is_said_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setLevel(logging.INFO)
    bounded(result(match(1, "x" * 10**6), match(2), uri=FORGERY))
    (record,) = caplog.records
    assert record.getMessage().startswith("XCom gets 1 of the 2 matches of ")
    assert not forges(record.getMessage())


def test_long_message_is_cut() -> None:
    kept = bounded(replace(result(), status="failed", error_message="x" * 10**6))
    assert len(kept.error_message or "") == 1000


def test_run_without_a_table_returns_bounded_results(tmp_path: Path, connect: Callable[..., None]) -> None:
    page = {"pageUrl": "https://a.test/", "title": "x" * 1_000_000}
    part = {"results": [{"imageCopySearch": {"topResults": [page], "copyCount": 1}}]}
    body = json.dumps({"results": [part]}).encode()
    (tmp_path / "a.png").write_bytes(png("a"))
    with serving(lambda connection: connection.sendall(reply(body))) as url:
        connect("yandex_vision_default", conn_type="yandex_vision", password=API_KEY, host=url)
        summary = search(f"file://{tmp_path}/a.png")
    assert (summary["found"], summary["matches"]) == (1, 1)
    assert len(json.dumps(summary)) < 2000
