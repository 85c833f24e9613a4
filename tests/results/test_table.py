"""What is written and what is known afterwards, on every database."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.table import ResultTable, SearchedImage
from airflow_provider_yandex_vision.vision.models import CopyMatch, CopySearchResult, Status
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
from tests.support.hostile import CODE, FORGERY

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
    """The same table in another run, a day later."""
    return ResultTable(engine, table.name, SECOND_RUN, now=lambda: TUESDAY)


def gone(engine: Engine, table: ResultTable) -> list[str]:
    return [
        page for page, current in select_rows(engine, f"{table.name}_matches", "page_url", "current") if not current
    ]


class TestWrite:
    def test_every_field_is_stored(self, engine: Engine, table: ResultTable) -> None:
        shown = CopyMatch(
            "https://i.example.org/1.jpg", "https://example.org/1", "Title", "Words", 1, "example.org", "example.org"
        )
        result = CopySearchResult(
            *("s3://b/1", "found", 2**62, (shown,), None, None, SHA, 2**40, '"etag"', "image/jpeg", MONDAY, "id", "aws")
        )
        table.write([result])
        assert table.known([SHA]) == {SHA: result}
        columns = ("status", "copy_count", "match_count", "size_bytes", "dag_id", "run_id", "task_id", "map_index")
        assert select_rows(engine, table.name, *columns) == [
            ("found", 2**62, 1, 2**40, "copies", "scheduled__2026-01-05", "search", -1)
        ]

    def test_writing_twice_makes_no_duplicates(self, engine: Engine, table: ResultTable) -> None:
        for _ in range(2):
            table.write([found("s3://b/1", "a", "b"), found("s3://b/2", "a")])
        assert len(select_rows(engine, table.name, "image_uri")) == 2
        assert len(select_rows(engine, f"{table.name}_matches", "page_url")) == 3

    def test_next_search_keeps_first_seen(self, engine: Engine, table: ResultTable, second: ResultTable) -> None:
        table.write([found("s3://b/1", match("page", 1, title="old", description="old"))])
        before = select_rows(engine, f"{table.name}_matches", "first_seen_at", "first_seen_run_id")
        second.write([found("s3://b/1", match("page", 9, title="new", description="words"), at=TUESDAY)])
        assert select_rows(engine, f"{table.name}_matches", "first_seen_at", "first_seen_run_id") == before
        assert select_rows(engine, f"{table.name}_matches", "rank_no", "title", "description") == [(9, "new", "words")]
        assert gone(engine, table) == []
        assert select_rows(engine, table.name, "run_id") == [(SECOND_RUN.run_id,)]

    def test_copy_not_found_again_is_gone(self, engine: Engine, table: ResultTable, second: ResultTable) -> None:
        table.write([found("s3://b/1", "stays", "goes")])
        second.write([found("s3://b/1", "stays", "comes", at=TUESDAY)])
        assert gone(engine, table) == ["goes"]
        assert select_rows(engine, table.name, "match_count") == [(2,)]

    @pytest.mark.parametrize("status", ["failed", "rejected"])
    def test_search_without_answer_makes_nothing_gone(
        self, engine: Engine, table: ResultTable, second: ResultTable, status: Status
    ) -> None:
        table.write([found("s3://b/1", "page", etag="old")])
        second.write([unanswered("s3://b/1", status, at=TUESDAY, etag="new")])
        assert gone(engine, table) == []
        columns = ("status", "copy_count", "match_count", "error_code", "etag", "run_id")
        assert select_rows(engine, table.name, *columns) == [(status, 1, 1, "X", "new", SECOND_RUN.run_id)]
        assert second.lookup(["s3://b/1"])["s3://b/1"].searched_at == MONDAY

    def test_last_try_has_a_time_of_its_own(self, table: ResultTable, second: ResultTable) -> None:
        table.write([found("s3://b/1", "page")])
        second.write([unanswered("s3://b/1", "failed", at=TUESDAY)])
        known = second.lookup(["s3://b/1"])["s3://b/1"]
        assert (known.searched_at, known.checked_at) == (MONDAY, TUESDAY)

    def test_failure_leaves_the_facts_of_the_answer(
        self, engine: Engine, table: ResultTable, second: ResultTable
    ) -> None:
        answer = found("s3://b/1", "page", sha256=SHA, size=5, mime_type="image/png", request_id="r1", conn_id="old")
        table.write([answer])
        columns = ("content_sha256", "size_bytes", "mime_type", "request_id", "object_storage_conn_id")
        second.write([unanswered("s3://b/1", "failed", at=TUESDAY, request_id="r2", size=6, conn_id="new")])
        assert select_rows(engine, table.name, *columns) == [(SHA, 5, "image/png", "r1", "new")]
        second.write([unanswered("s3://b/2", "rejected", at=TUESDAY, request_id="r3", sha256=SHA)])
        assert (SHA, "r3") in select_rows(engine, table.name, "content_sha256", "request_id")

    def test_searched_at_is_the_last_try_without_answer(self, table: ResultTable, second: ResultTable) -> None:
        table.write([unanswered("s3://b/1", "rejected")])
        second.write([unanswered("s3://b/1", "rejected", at=TUESDAY)])
        assert second.lookup(["s3://b/1"])["s3://b/1"].searched_at == TUESDAY

    def test_answer_clears_the_error(self, engine: Engine, table: ResultTable, second: ResultTable) -> None:
        table.write([unanswered("s3://b/1", "failed")])
        second.write([found("s3://b/1", at=TUESDAY)])
        assert select_rows(engine, table.name, "status", "copy_count", "error_code", "error_message") == [
            ("none", 0, None, None)
        ]

    def test_last_result_for_a_uri_wins(self, engine: Engine, table: ResultTable) -> None:
        table.write([unanswered("s3://b/1", "failed"), found("s3://b/1", "page")])
        assert select_rows(engine, table.name, "status") == [("found",)]

    def test_result_without_a_time_gets_the_current_time(self, engine: Engine, table: ResultTable) -> None:
        table = ResultTable(engine, table.name, FIRST_RUN, now=lambda: WEDNESDAY)
        table.write([replace(found("s3://b/1"), searched_at=None)])
        assert table.lookup(["s3://b/1"])["s3://b/1"].searched_at == WEDNESDAY

    def test_writing_no_results_is_allowed(self, engine: Engine, table: ResultTable) -> None:
        table.write([])
        assert select_rows(engine, table.name, "image_id") == []

    def test_image_and_matches_are_written_atomically(self, engine: Engine, table: ResultTable) -> None:
        def break_matches(_1: object, _2: object, statement: str, *_: object) -> None:
            if f"{table.name}_matches" in statement:
                raise KeyboardInterrupt

        event.listen(engine, "before_cursor_execute", break_matches)
        with pytest.raises(KeyboardInterrupt):
            table.write([found("s3://b/1", "page")])
        event.remove(engine, "before_cursor_execute", break_matches)
        assert select_rows(engine, table.name, "image_id") == []


class TestText:
    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
    def test_hostile_text_is_stored_as_text(self, table: ResultTable, text: str) -> None:
        hostile = CopyMatch(text, text, text, text, 1, text, text)
        result = found(f"s3://b/{text}", hostile, sha256=SHA, etag=text, mime_type=text)
        table.write([result, unanswered(text, "failed", etag=text)])
        stored = text.replace("\0", "\ufffd").replace("\ud83d", "\ufffd")
        assert table.known([SHA])[SHA].matches == (CopyMatch(stored, stored, stored, stored, 1, stored, stored),)
        assert table.lookup([text, result.uri])[text].etag == stored

    def test_similar_file_names_are_distinct_images(self, table: ResultTable) -> None:
        uris = ["file:///\udcff.jpg", "file:///\udcfe.jpg", "file:///\ufffd.jpg", "file:///E.jpg", "file:///e.jpg"]
        table.write([found(uri, etag=str(n)) for n, uri in enumerate(uris)])
        assert [table.lookup(uris)[uri].etag for uri in uris] == ["0", "1", "2", "3", "4"]

    @pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
    def test_one_image_may_have_ten_thousand_matches(self, engine: Engine, table: ResultTable) -> None:
        table.write([found("s3://b/1", *(f"https://example.org/{n}" for n in range(10_000)), sha256=SHA)])
        assert [each.rank for each in table.known([SHA])[SHA].matches] == list(range(1, 10_001))
        assert table.new_matches() == 10_000

    def test_batch_of_long_texts_is_stored(self, table: ResultTable) -> None:
        """More than MySQL accepts in one packet."""
        long = [match(f"{'u' * 10_000}{n}", n, title="t" * 100_000) for n in range(300)]
        table.write([found("s3://b/1", *long, sha256=SHA)])
        assert table.known([SHA])[SHA].matches == tuple(long)


class TestLookup:
    def test_images_never_searched_are_left_out(self, engine: Engine, table: ResultTable) -> None:
        ResultTable(engine, table.name, FIRST_RUN, now=lambda: TUESDAY).write([found("s3://b/1", etag="e")])
        assert table.lookup(["s3://b/1", "s3://b/2"]) == {
            "s3://b/1": SearchedImage("none", 0, 0, "e", MONDAY, TUESDAY, **vars(FIRST_RUN))
        }

    def test_lookup_of_thousands_takes_few_queries(self, engine: Engine, table: ResultTable) -> None:
        uris = [f"s3://b/{n}" for n in range(2000)]
        table.write([found(uri) for uri in uris])
        queries = recorded_queries(engine)
        assert table.lookup(uris).keys() == set(uris)
        assert len(queries) == 3


class TestKnown:
    def test_answer_of_this_run_is_known_at_any_age(self, table: ResultTable) -> None:
        result = found("s3://b/1", "b", "a", sha256=SHA)
        table.write([result])
        assert table.known([SHA, "0" * 64]) == {SHA: result}

    def test_answer_of_another_run_is_known_while_fresh(self, table: ResultTable, second: ResultTable) -> None:
        table.write([found("s3://b/1", sha256=SHA)])
        assert second.known([SHA]) == {}
        assert second.known([SHA], timedelta(hours=23)) == {}
        assert second.known([SHA], timedelta(hours=25)).keys() == {SHA}
        assert table.known([SHA], timedelta(hours=23)).keys() == {SHA}, "answer of the same run"

    def test_answer_as_old_as_recheck_after_is_not_fresh(self, engine: Engine, table: ResultTable) -> None:
        table.write([found("s3://b/1", sha256=SHA)])
        a_day_later = ResultTable(engine, table.name, SECOND_RUN, now=lambda: TUESDAY)
        assert a_day_later.known([SHA], timedelta(days=1)) == {}

    def test_answer_from_the_future_is_not_fresh(self, table: ResultTable, second: ResultTable) -> None:
        table.write([found("s3://b/1", sha256=SHA, at=TUESDAY + timedelta(hours=1))])
        assert second.known([SHA], timedelta(days=9)) == {}
        assert table.known([SHA], timedelta(days=9)).keys() == {SHA}, "answer of the same run"

    def test_matches_are_ordered_by_rank(self, table: ResultTable) -> None:
        pages = [f"page {n}" for n in range(20)]
        table.write([found("s3://b/1", *pages, sha256=SHA)])
        assert [each.page_url for each in table.known([SHA])[SHA].matches] == pages

    def test_only_requested_hashes_are_returned(self, table: ResultTable) -> None:
        table.write([found("s3://b/1", "page", sha256=SHA), found("s3://b/2", "page", sha256="f" * 64)])
        assert table.known([SHA]).keys() == {SHA}

    @pytest.mark.parametrize(
        "run", [TaskKey("other", FIRST_RUN.run_id, "search"), TaskKey("copies", "other", "search")]
    )
    def test_same_run_id_of_another_dag_is_another_run(self, engine: Engine, table: ResultTable, run: TaskKey) -> None:
        table.write([found("s3://b/1", sha256=SHA)])
        assert ResultTable(engine, table.name, run).known([SHA]) == {}

    @pytest.mark.parametrize("status", ["failed", "rejected"])
    def test_result_without_answer_is_not_known(self, table: ResultTable, status: Status) -> None:
        table.write([found("s3://b/1", sha256=SHA)])
        table.write([unanswered("s3://b/1", status, sha256=SHA)])
        assert table.known([SHA]) == {}

    def test_answer_has_no_matches_that_are_gone(self, table: ResultTable, second: ResultTable) -> None:
        table.write([found("s3://b/1", "goes", "stays", sha256=SHA)])
        second.write([found("s3://b/1", "stays", at=TUESDAY, sha256=SHA)])
        assert [each.page_url for each in second.known([SHA])[SHA].matches] == ["stays"]

    def test_newest_answer_for_a_content_wins(self, table: ResultTable) -> None:
        days = {f"s3://b/{n}": MONDAY + timedelta(days=n % 3, hours=n) for n in range(20)}
        table.write([found(uri, uri, at=at, sha256=SHA) for uri, at in days.items()])
        answer = table.known([SHA])[SHA]
        assert answer.uri == max(days, key=lambda uri: days[uri])
        assert [each.page_url for each in answer.matches] == [answer.uri]

    def test_hundreds_of_hashes_take_one_query(self, engine: Engine, table: ResultTable) -> None:
        hashes = [f"{n:064x}" for n in range(500)]
        table.write([found(f"s3://b/{each}", "page", sha256=each) for each in hashes])
        queries = recorded_queries(engine)
        assert table.known(hashes).keys() == set(hashes)
        assert len(queries) == 1


class TestCounts:
    def test_new_matches_are_first_seen_by_this_task(self, engine: Engine, table: ResultTable) -> None:
        table.write([found("s3://b/1", "old")])
        mapped = [ResultTable(engine, table.name, replace(SECOND_RUN, map_index=n)) for n in range(2)]
        mapped[0].write([found("s3://b/1", "old", "new", at=TUESDAY)])
        mapped[1].write([found("s3://b/2", "new", "newer", "newest", at=TUESDAY)])
        another_attempt = ResultTable(engine, table.name, mapped[1].task)
        assert [each.new_matches() for each in (table, *mapped, another_attempt)] == [0, 1, 3, 3]

    def test_new_matches_are_those_of_the_dag(self, engine: Engine, table: ResultTable) -> None:
        """Whatever another DAG with the same run id found."""
        table.write([found("s3://b/1", "page")])
        assert table.new_matches() == 1
        other = ResultTable(engine, table.name, replace(FIRST_RUN, dag_id="other"))
        other.write([found("s3://b/1", "page", "new", at=TUESDAY)])
        assert other.new_matches() == 1
        assert select_rows(engine, f"{table.name}_matches", "page_url", "first_seen_dag_id") == [
            ("new", "other"),
            ("page", "copies"),
        ]

    @pytest.mark.parametrize("url", ["postgresql"], indirect=True)
    def test_new_matches_are_counted_by_looking_up_their_images(self, engine: Engine, table: ResultTable) -> None:
        """Without statistics, PostgreSQL would compare each match of the run with each of its images."""
        table.write([found(f"s3://b/{n}", "page") for n in range(500)])
        plan: list[str] = []

        def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
            cursor.execute(f"EXPLAIN {statement}", parameters)
            plan.extend(line for (line,) in cursor.fetchall())

        event.listen(engine, "before_cursor_execute", explain)
        assert table.new_matches() == 500
        event.remove(engine, "before_cursor_execute", explain)
        assert not [line for line in plan if f"ix_{table.name}_run_id" in line]

    def test_images_gone_in_an_earlier_run_are_counted(self, engine: Engine, table: ResultTable) -> None:
        both = [unanswered(f"s3://b/{n}", "failed", error_code="GONE") for n in range(2)]
        table.write(both)
        table.write([*both, unanswered("s3://b/3", "failed", error_code="UNREADABLE")])
        assert table.still_gone() == 0
        second = ResultTable(engine, table.name, SECOND_RUN)
        for _attempt in range(2):
            second.write([both[0], found("s3://b/1"), unanswered("s3://b/3", "failed", error_code="GONE")])
            second.write([unanswered("s3://b/1", "failed", error_code="GONE")])
            assert second.still_gone() == 1
        assert select_rows(engine, table.name, "error_code") == [("GONE",), ("GONE",), ("STILL_GONE",)]
        second.write([found("s3://b/0")])
        assert (second.still_gone(), table.still_gone()) == (0, 0)

    def test_committed_counts_all_but_failed(self, engine: Engine, table: ResultTable) -> None:
        other = ResultTable(engine, table.name, replace(FIRST_RUN, map_index=1))
        other.write([found("s3://b/0")])
        table.write([found("s3://b/1"), unanswered("s3://b/2", "rejected"), unanswered("s3://b/3", "failed")])
        assert (table.committed(), other.committed()) == (2, 1)
        assert ResultTable(engine, table.name, replace(FIRST_RUN, task_id="other")).committed() == 0


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_concurrent_writers_lose_nothing(url: str, engine: Engine, table: ResultTable) -> None:
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


def recorded_queries(engine: Engine) -> list[str]:
    queries: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _1, _2, statement, *_: queries.append(statement))
    return queries
