"""What is written, and what is known afterwards. Every claim holds on every database."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results import ResultTable, TaskKey, SearchedImage
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult, Status
from tests.support.hostile import CODE, FORGERY
from tests.results.samples import (
    FIRST_RUN,
    MONDAY,
    SECOND_RUN,
    SHA,
    TUESDAY,
    WEDNESDAY,
    found,
    match,
    select_rows,
    unanswered,
)

HOSTILE = {
    "quotes": """'; DROP TABLE copies; -- "\\' `""",
    "percent": "100 % of %s and %(name)s and :name and ?",
    "nul": "before\0after",
    "emoji": "👩‍👩‍👧 🏳️‍🌈",
    "right to left": "\u202e\u05e9\u05dc\u05d5\u05dd\u202c",
    "lone surrogate": "\ud83dx",
    "lines": "a\r\nb\tc",
    "long": "ж" * 100_000,
    "forgery": FORGERY,
    **CODE,
}


@pytest.fixture
def second(engine: Engine, table: ResultTable) -> ResultTable:
    """The same table a day later."""
    return ResultTable(engine, table.name, SECOND_RUN, now=lambda: TUESDAY)


def gone(engine: Engine, table: ResultTable) -> list[str]:
    images = dict(select_rows(engine, table.name, "image_id", "searched_at"))
    rows = select_rows(engine, f"{table.name}_matches", "page_url", "image_id", "last_seen_at")
    return [page for page, image, last_seen in rows if last_seen < images[image]]


class TestWrite:
    def test_every_field_is_kept(self, engine: Engine, table: ResultTable) -> None:
        shown = CopyMatch("https://i.example.org/1.jpg", "https://example.org/1", "Title", "Words", 1, "example.org")
        result = CopySearchResult(
            "s3://b/1", "found", 2**62, (shown,), None, None, SHA, 2**40, '"etag"', "image/jpeg", MONDAY
        )
        table.write([result])
        assert table.known([SHA]) == {SHA: result}
        columns = ("status", "copy_count", "match_count", "size_bytes", "dag_id", "run_id", "task_id", "map_index")
        assert select_rows(engine, table.name, *columns) == [
            ("found", 2**62, 1, 2**40, "copies", "scheduled__2026-01-05", "search", -1)
        ]

    def test_the_same_results_twice_are_the_same_rows(self, engine: Engine, table: ResultTable) -> None:
        for _ in range(2):
            table.write([found("s3://b/1", "a", "b"), found("s3://b/2", "a")])
        assert len(select_rows(engine, table.name, "image_uri")) == 2
        assert len(select_rows(engine, f"{table.name}_matches", "page_url")) == 3

    def test_a_search_again_moves_what_was_last_seen_and_not_what_was_first(
        self, engine: Engine, table: ResultTable, second: ResultTable
    ) -> None:
        table.write([found("s3://b/1", match("page", 1, title="old", description="old"))])
        before = select_rows(engine, f"{table.name}_matches", "first_seen_at", "first_seen_run_id")
        second.write([found("s3://b/1", match("page", 9, title="new", description="words"), at=TUESDAY)])
        assert select_rows(engine, f"{table.name}_matches", "first_seen_at", "first_seen_run_id") == before
        assert select_rows(engine, f"{table.name}_matches", "rank_no", "title", "description") == [(9, "new", "words")]
        assert gone(engine, table) == []
        assert select_rows(engine, table.name, "run_id") == [(SECOND_RUN.run_id,)]

    def test_a_copy_not_found_again_is_gone(self, engine: Engine, table: ResultTable, second: ResultTable) -> None:
        table.write([found("s3://b/1", "stays", "goes")])
        second.write([found("s3://b/1", "stays", "comes", at=TUESDAY)])
        assert gone(engine, table) == ["goes"]
        assert select_rows(engine, table.name, "match_count") == [(2,)]

    @pytest.mark.parametrize("status", ["failed", "rejected"])
    def test_a_search_without_an_answer_makes_nothing_gone(
        self, engine: Engine, table: ResultTable, second: ResultTable, status: Status
    ) -> None:
        table.write([found("s3://b/1", "page", etag="old")])
        second.write([unanswered("s3://b/1", status, at=TUESDAY, etag="new")])
        assert gone(engine, table) == []
        columns = ("status", "copy_count", "match_count", "error_code", "etag", "run_id")
        assert select_rows(engine, table.name, *columns) == [(status, 1, 1, "X", "new", SECOND_RUN.run_id)]
        assert second.lookup(["s3://b/1"])["s3://b/1"].searched_at == MONDAY

    def test_an_image_never_answered_was_searched_when_it_was_last_tried(
        self, table: ResultTable, second: ResultTable
    ) -> None:
        table.write([unanswered("s3://b/1", "rejected")])
        second.write([unanswered("s3://b/1", "rejected", at=TUESDAY)])
        assert second.lookup(["s3://b/1"])["s3://b/1"].searched_at == TUESDAY

    def test_an_answer_takes_the_error_away(self, engine: Engine, table: ResultTable, second: ResultTable) -> None:
        table.write([unanswered("s3://b/1", "failed")])
        second.write([found("s3://b/1", at=TUESDAY)])
        assert select_rows(engine, table.name, "status", "copy_count", "error_code", "error_message") == [
            ("none", 0, None, None)
        ]

    def test_of_one_image_twice_in_a_call_the_last_counts(self, engine: Engine, table: ResultTable) -> None:
        table.write([unanswered("s3://b/1", "failed"), found("s3://b/1", "page")])
        assert select_rows(engine, table.name, "status") == [("found",)]

    def test_a_result_without_a_time_is_of_now(self, engine: Engine, table: ResultTable) -> None:
        table = ResultTable(engine, table.name, FIRST_RUN, now=lambda: WEDNESDAY)
        table.write([replace(found("s3://b/1"), searched_at=None)])
        assert table.lookup(["s3://b/1"])["s3://b/1"].searched_at == WEDNESDAY

    def test_nothing_to_write_is_no_trouble(self, engine: Engine, table: ResultTable) -> None:
        table.write([])
        assert select_rows(engine, table.name, "image_id") == []

    def test_image_and_matches_are_there_together_or_not_at_all(self, engine: Engine, table: ResultTable) -> None:
        def break_matches(_1: object, _2: object, statement: str, *_: object) -> None:
            if f"{table.name}_matches" in statement:
                raise KeyboardInterrupt

        event.listen(engine, "before_cursor_execute", break_matches)
        with pytest.raises(KeyboardInterrupt):
            table.write([found("s3://b/1", "page")])
        event.remove(engine, "before_cursor_execute", break_matches)
        assert select_rows(engine, table.name, "image_id") == []


class TestSize:
    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
    def test_hostile_text_comes_back_as_text(self, table: ResultTable, text: str) -> None:
        hostile = CopyMatch(text, text, text, text, 1, text)
        result = found(f"s3://b/{text}", hostile, sha256=SHA, etag=text, mime_type=text)
        table.write([result, unanswered(text, "failed", etag=text)])
        kept = text.replace("\0", "\ufffd").replace("\ud83d", "\ufffd")
        assert table.known([SHA])[SHA].matches == (CopyMatch(kept, kept, kept, kept, 1, kept),)
        assert table.lookup([text, result.uri])[text].etag == kept

    def test_names_that_only_differ_in_what_is_not_text_are_two_images(self, table: ResultTable) -> None:
        uris = ["file:///\udcff.jpg", "file:///\udcfe.jpg", "file:///\ufffd.jpg", "file:///E.jpg", "file:///e.jpg"]
        table.write([found(uri, etag=str(n)) for n, uri in enumerate(uris)])
        assert [table.lookup(uris)[uri].etag for uri in uris] == ["0", "1", "2", "3", "4"]

    @pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
    def test_ten_thousand_matches_of_one_image(self, engine: Engine, table: ResultTable) -> None:
        table.write([found("s3://b/1", *(f"https://example.org/{n}" for n in range(10_000)), sha256=SHA)])
        assert [each.rank for each in table.known([SHA])[SHA].matches] == list(range(1, 10_001))
        assert table.new_matches() == 10_000

    def test_long_titles_and_addresses_of_a_whole_batch(self, table: ResultTable) -> None:
        """More than MySQL takes in one packet."""
        long = [match(f"{'u' * 10_000}{n}", n, title="t" * 100_000) for n in range(300)]
        table.write([found("s3://b/1", *long, sha256=SHA)])
        assert table.known([SHA])[SHA].matches == tuple(long)


class TestLookup:
    def test_what_was_never_searched_is_left_out(self, table: ResultTable) -> None:
        table.write([found("s3://b/1", etag="e")])
        assert table.lookup(["s3://b/1", "s3://b/2"]) == {
            "s3://b/1": SearchedImage("none", "e", MONDAY, FIRST_RUN.dag_id, FIRST_RUN.run_id)
        }

    def test_thousands_are_looked_up_in_a_few_queries(self, engine: Engine, table: ResultTable) -> None:
        uris = [f"s3://b/{n}" for n in range(2000)]
        table.write([found(uri) for uri in uris])
        queries = counted(engine)
        assert table.lookup(uris).keys() == set(uris)
        assert len(queries) == 3


class TestKnown:
    def test_an_answer_of_this_run_is_known_whatever_its_age(self, table: ResultTable) -> None:
        result = found("s3://b/1", "b", "a", sha256=SHA)
        table.write([result])
        assert table.known([SHA, "0" * 64]) == {SHA: result}

    def test_an_answer_of_another_run_is_known_while_it_is_fresh(self, table: ResultTable, second: ResultTable) -> None:
        table.write([found("s3://b/1", sha256=SHA)])
        assert second.known([SHA]) == {}
        assert second.known([SHA], timedelta(hours=23)) == {}
        assert second.known([SHA], timedelta(hours=25)).keys() == {SHA}
        assert table.known([SHA], timedelta(hours=23)).keys() == {SHA}, "of its own run, whatever the age"

    def test_an_answer_is_fresh_for_less_than_the_whole_time(self, engine: Engine, table: ResultTable) -> None:
        table.write([found("s3://b/1", sha256=SHA)])
        a_day_later = ResultTable(engine, table.name, SECOND_RUN, now=lambda: TUESDAY)
        assert a_day_later.known([SHA], timedelta(days=1)) == {}

    def test_matches_come_in_order_of_rank(self, table: ResultTable) -> None:
        pages = [f"page {n}" for n in range(20)]
        table.write([found("s3://b/1", *pages, sha256=SHA)])
        assert [each.page_url for each in table.known([SHA])[SHA].matches] == pages

    def test_only_what_was_asked_for_is_known(self, table: ResultTable) -> None:
        table.write([found("s3://b/1", "page", sha256=SHA), found("s3://b/2", "page", sha256="f" * 64)])
        assert table.known([SHA]).keys() == {SHA}

    @pytest.mark.parametrize("run", [TaskKey("other", FIRST_RUN.run_id, "search"), TaskKey("copies", "other", "search")])
    def test_run_ids_are_told_apart_by_their_dag(self, engine: Engine, table: ResultTable, run: TaskKey) -> None:
        table.write([found("s3://b/1", sha256=SHA)])
        assert ResultTable(engine, table.name, run).known([SHA]) == {}

    @pytest.mark.parametrize("status", ["failed", "rejected"])
    def test_what_is_no_answer_is_not_known(self, table: ResultTable, status: Status) -> None:
        table.write([found("s3://b/1", sha256=SHA)])
        table.write([unanswered("s3://b/1", status, sha256=SHA)])
        assert table.known([SHA]) == {}

    def test_matches_that_are_gone_are_not_part_of_the_answer(self, table: ResultTable, second: ResultTable) -> None:
        table.write([found("s3://b/1", "goes", "stays", sha256=SHA)])
        second.write([found("s3://b/1", "stays", at=TUESDAY, sha256=SHA)])
        assert [each.page_url for each in second.known([SHA])[SHA].matches] == ["stays"]

    def test_of_many_answers_for_one_content_the_newest_is_taken(self, table: ResultTable) -> None:
        days = {f"s3://b/{n}": MONDAY + timedelta(days=n % 3, hours=n) for n in range(20)}
        table.write([found(uri, uri, at=at, sha256=SHA) for uri, at in days.items()])
        answer = table.known([SHA])[SHA]
        assert answer.uri == max(days, key=lambda uri: days[uri])
        assert [each.page_url for each in answer.matches] == [answer.uri]

    def test_hundreds_of_contents_take_two_queries(self, engine: Engine, table: ResultTable) -> None:
        hashes = [f"{n:064x}" for n in range(500)]
        table.write([found(f"s3://b/{each}", "page", sha256=each) for each in hashes])
        queries = counted(engine)
        assert table.known(hashes).keys() == set(hashes)
        assert len(queries) == 2


class TestCounts:
    def test_new_matches_are_those_first_seen_by_this_task_instance(self, engine: Engine, table: ResultTable) -> None:
        table.write([found("s3://b/1", "old")])
        mapped = [ResultTable(engine, table.name, replace(SECOND_RUN, map_index=n)) for n in range(2)]
        mapped[0].write([found("s3://b/1", "old", "new", at=TUESDAY)])
        mapped[1].write([found("s3://b/2", "new", "newer", "newest", at=TUESDAY)])
        another_attempt = ResultTable(engine, table.name, mapped[1].run)
        assert [each.new_matches() for each in (table, *mapped, another_attempt)] == [0, 1, 3, 3]

    def test_committed_is_what_needs_no_other_attempt(self, engine: Engine, table: ResultTable) -> None:
        other = ResultTable(engine, table.name, replace(FIRST_RUN, map_index=1))
        other.write([found("s3://b/0")])
        table.write([found("s3://b/1"), unanswered("s3://b/2", "rejected"), unanswered("s3://b/3", "failed")])
        assert (table.committed(), other.committed()) == (2, 1)
        assert ResultTable(engine, table.name, replace(FIRST_RUN, task_id="other")).committed() == 0


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_eight_writers_of_the_same_images_lose_nothing(url: str, engine: Engine, table: ResultTable) -> None:
    engines = [create_engine(url) for _ in range(8)]
    batches = [[found(f"s3://b/{n}", *"abc") for n in range(start, start + 40)] for start in range(0, 80, 20)]

    def write(writer: int) -> None:
        own = ResultTable(engines[writer], table.name, replace(FIRST_RUN, map_index=writer))
        own.write([found(f"s3://own/{writer}", "page")])
        for batch in itertools.islice(itertools.cycle(batches), writer, writer + 8):
            own.write(batch[::-1] if writer % 2 else batch)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    for each in engines:
        each.dispose()
    assert len(select_rows(engine, table.name, "image_id")) == 100 + 8
    assert len(select_rows(engine, f"{table.name}_matches", "match_id")) == 3 * 100 + 8


def counted(engine: Engine) -> list[str]:
    queries: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _1, _2, statement, *_: queries.append(statement))
    return queries
