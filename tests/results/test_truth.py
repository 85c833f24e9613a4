"""Whatever the clocks and the order of writes, a row has the pages of one answer only, on every database."""

from __future__ import annotations

import itertools
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.rows import image_id
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.models import CopySearchResult
from tests.results.samples import FIRST_RUN, MONDAY, SECOND_RUN, SHA, TUESDAY, WEDNESDAY, found, select_rows

URI = "s3://b/1"
OTHER_SHA = "f" * 64
HOUR = timedelta(hours=1)


@pytest.fixture
def second(engine: Engine, table: ResultTable) -> ResultTable:
    return ResultTable(engine, table.name, SECOND_RUN, now=lambda: WEDNESDAY)


def current(engine: Engine, table: ResultTable) -> dict[str, list[str]]:
    """Current pages by image_id."""
    pages: defaultdict[str, list[str]] = defaultdict(list)
    for image, page, is_current in select_rows(engine, f"{table.name}_matches", "image_id", "page_url", "current"):
        if is_current:
            pages[image].append(page)
    return pages


def dog(uri: str = URI, at: datetime = MONDAY) -> CopySearchResult:
    return found(uri, "dog 1", "both", sha256=OTHER_SHA, at=at)


def cat(uri: str = URI, at: datetime = MONDAY) -> CopySearchResult:
    return found(uri, "cat 1", "cat 2", "both", sha256=SHA, at=at)


@pytest.mark.parametrize("at", [MONDAY, TUESDAY, TUESDAY + HOUR, TUESDAY - timedelta(days=9), WEDNESDAY])
def test_stored_answer_ends_the_one_before_at_any_time(
    engine: Engine, table: ResultTable, second: ResultTable, at: datetime
) -> None:
    table.write([dog(at=TUESDAY)])
    second.write([cat(at=at)])
    assert current(engine, table) == {image_id(URI): ["both", "cat 1", "cat 2"]}
    assert [each.page_url for each in second.known([SHA])[SHA].matches] == ["cat 1", "cat 2", "both"]
    assert select_rows(engine, table.name, "match_count", "content_sha256", "searched_at")[0][:2] == (3, SHA)
    second.write([found(URI, at=at, sha256=SHA)])
    assert current(engine, table) == {}


def test_copy_of_a_known_answer_has_its_pages_only(engine: Engine, table: ResultTable, second: ResultTable) -> None:
    """An older answer to the new content of a file."""
    table.write([cat("s3://b/old")])
    second.write([dog(at=TUESDAY)])
    known = second.known([SHA], timedelta(days=7))[SHA]
    second.write([replace(known, uri=URI)])
    assert current(engine, table)[image_id(URI)] == ["both", "cat 1", "cat 2"]
    assert second.known([OTHER_SHA], timedelta(days=7)) == {}


def test_page_is_never_seen_earlier_than_it_was(engine: Engine, table: ResultTable, second: ResultTable) -> None:
    second.write([dog(at=TUESDAY)])
    table.write([dog(at=MONDAY)])
    rows = select_rows(engine, f"{table.name}_matches", "page_url", "first_seen_at", "last_seen_at")
    assert all(first == last for _, first, last in rows)


def test_time_in_the_future_is_corrected_by_the_next_answer(
    engine: Engine, table: ResultTable, second: ResultTable
) -> None:
    table.write([dog(at=MONDAY.replace(year=2037))])
    second.write([dog(at=TUESDAY)])
    for name, column in ((table.name, "searched_at"), (f"{table.name}_matches", "last_seen_at")):
        assert all(str(moment).startswith("2026-01-06") for (moment,) in select_rows(engine, name, column))


@pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)
def test_answer_is_read_as_it_was_at_one_moment(url: str, engine: Engine, table: ResultTable) -> None:
    """Another task replaces it while it is being copied."""
    table.write([cat()])
    other_engine = create_engine(url)
    writer = ResultTable(other_engine, table.name, FIRST_RUN)
    replaced = iter([True])

    def replace_answer(*_: object) -> None:
        if next(replaced, False):
            writer.write([dog()])

    event.listen(engine, "after_cursor_execute", replace_answer)
    known = table.known([SHA])
    assert [each.page_url for each in known[SHA].matches] == ["cat 1", "cat 2", "both"]
    other_engine.dispose()


def test_two_writers_at_once_leave_one_answer(url: str, engine: Engine, table: ResultTable) -> None:
    engines = [engine] * 2 if engine.dialect.name == "duckdb" else [create_engine(url) for _ in range(2)]
    uris = [f"s3://b/{n}" for n in range(6)]
    clocks = itertools.cycle([MONDAY, TUESDAY + HOUR, TUESDAY])

    def write(number: int) -> None:
        writer = ResultTable(engines[number], table.name, replace(FIRST_RUN, map_index=number))
        for _ in range(12):
            answer = cat if number else dog
            writer.write([answer(uri, next(clocks)) for uri in uris])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    for each in engines:
        each.dispose()
    pages = current(engine, table)
    for image, sha256, count in select_rows(engine, table.name, "image_id", "content_sha256", "match_count"):
        expected = ["both", "cat 1", "cat 2"] if sha256 == SHA else ["both", "dog 1"]
        assert pages[image] == expected
        assert count == len(expected)
