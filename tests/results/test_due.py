"""Which images are searched. On SQLite only: differences between databases end at the table."""

from __future__ import annotations

import itertools
import logging
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.database import KEYS_PER_QUERY
from airflow_provider_yandex_vision.results.due import DueImages
from airflow_provider_yandex_vision.results.rows import TaskKey
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.models import CopySearchResult, Image, Status
from tests.results.samples import FIRST_RUN, MONDAY, SECOND_RUN, TUESDAY, WEDNESDAY, found, unanswered

pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)

DAY = timedelta(days=1)


@pytest.fixture
def second(engine: Engine, table: ResultTable) -> ResultTable:
    return ResultTable(engine, table.name, SECOND_RUN)


def image(uri: object, etag: str | None = None) -> Image:
    return Image(str(uri), bytes, 1, etag)


def select(
    table: ResultTable | None,
    images: Iterable[Image],
    *,
    recheck_after: timedelta | None = None,
    max_images: int | None = None,
    now: datetime = TUESDAY,
) -> tuple[str, DueImages]:
    """URIs of the due images, joined, and the counts."""
    due = DueImages(images, table, recheck_after=recheck_after, max_images=max_images, now=lambda: now)
    return " ".join(image.uri for image in due), due


def counts(due: DueImages) -> tuple[int, int, int, int]:
    return due.listed, due.earlier.images + due.finished, due.unchanged, due.left_over


@pytest.mark.parametrize(("max_images", "uris"), [(None, "c a b"), (2, "c a")])
def test_new_images_are_searched_as_listed(table: ResultTable, max_images: int | None, uris: str) -> None:
    for history in (table, None):
        searched, due = select(history, map(image, "cab"), max_images=max_images)
        assert searched == uris
        assert counts(due) == (3, 0, 0, 3 - len(uris.split()))


def test_next_attempt_searches_unfinished_images(table: ResultTable) -> None:
    table.write([found("a", "page"), found("b"), unanswered("c", "rejected"), unanswered("d", "failed")])
    uris, due = select(table, map(image, "abcde"))
    assert uris == "d e"
    assert counts(due) == (5, 3, 0, 0)
    earlier = due.earlier
    assert (earlier.found, earlier.none, earlier.rejected, earlier.failed, earlier.matches) == (1, 1, 1, 0, 1)
    assert due.skipped == 0


@pytest.mark.parametrize(("etag", "searched"), [("same", ""), ("other", "a"), (None, "a")])
def test_rejected_image_is_searched_if_changed(table: ResultTable, etag: str | None, searched: str) -> None:
    table.write([unanswered("a", "rejected", etag="same")])
    assert select(table, [image("a", etag)])[0] == searched


def test_answer_of_this_run_stands_even_if_changed(table: ResultTable) -> None:
    table.write([found("a", etag="old")])
    assert select(table, [image("a", "new")])[0] == ""


@pytest.mark.parametrize("run", [SECOND_RUN, TaskKey("other", FIRST_RUN.run_id, FIRST_RUN.task_id)])
def test_another_run_searches_all_images(engine: Engine, table: ResultTable, run: TaskKey) -> None:
    table.write([found("a", etag="e")])
    assert select(ResultTable(engine, table.name, run), [image("a", "e")])[0] == "a"


def test_tasks_of_one_run_share_their_results(engine: Engine, table: ResultTable) -> None:
    table.write([found("a")])
    other = ResultTable(engine, table.name, TaskKey(FIRST_RUN.dag_id, FIRST_RUN.run_id, "other", 3))
    uris, due = select(other, [image("a")])
    assert uris == ""
    assert (due.skipped, due.earlier.images) == (1, 0)


@pytest.mark.parametrize(
    ("before", "etag", "recheck_after", "searched"),
    [
        (found("a", etag="e"), "e", DAY + timedelta(microseconds=1), ""),
        (found("a", etag="e"), "e", DAY, "a"),
        (found("a", etag="e"), "changed", 9 * DAY, "a"),
        (found("a", etag="e"), None, 9 * DAY, "a"),
        (found("a", etag=None), None, 9 * DAY, "a"),
        (unanswered("a", "rejected", etag="e"), "e", 9 * DAY, ""),
        (unanswered("a", "rejected", etag="e"), "e", DAY, "a"),
        (unanswered("a", "rejected", etag="e"), "new", 9 * DAY, "a"),
        (unanswered("a", "failed", etag="e"), "e", 9 * DAY, "a"),
    ],
    ids=[
        "fresh",
        "old",
        "changed",
        "etag_lost",
        "no_etag",
        "rejected",
        "rejected_long_ago",
        "rejected_and_changed",
        "failed",
    ],
)
def test_unchanged_image_is_skipped_while_fresh(
    table: ResultTable,
    second: ResultTable,
    before: CopySearchResult,
    etag: str | None,
    recheck_after: timedelta,
    searched: str,
) -> None:
    table.write([before])
    uris, due = select(second, [image("a", etag)], recheck_after=recheck_after)
    assert uris == searched
    assert due.unchanged == (not searched)


@pytest.mark.parametrize(("status", "searched"), [("rejected", ""), ("failed", "a")])
def test_rejection_of_an_answered_image_is_as_good_as_an_answer(
    engine: Engine, table: ResultTable, second: ResultTable, status: Status, searched: str
) -> None:
    """It keeps its answer, whose time says nothing about the last try."""
    table.write([found("a", "page", etag="old")])
    second.write([unanswered("a", status, at=WEDNESDAY, etag="new")])
    third = ResultTable(engine, table.name, replace(SECOND_RUN, run_id="third"))
    assert select(third, [image("a", "new")], recheck_after=DAY, now=WEDNESDAY + DAY / 2)[0] == searched


@pytest.mark.parametrize("status", ["none", "rejected"])
def test_time_in_the_future_is_unknown(table: ResultTable, second: ResultTable, status: Status) -> None:
    """A worker's clock was wrong: its images are not fresh until then."""
    in_2037 = MONDAY.replace(year=2037)
    wrong = found("a", at=in_2037, etag="e") if status == "none" else unanswered("a", status, at=in_2037, etag="e")
    table.write([wrong, found("b", etag="e")])
    assert select(second, [image("a", "e")], recheck_after=9 * DAY)[0] == "a"
    assert select(second, [image("b", "e"), image("a", "e")], max_images=1)[0] == "a"


def test_clocks_of_machines_may_differ_a_little(table: ResultTable, second: ResultTable) -> None:
    table.write([found("a", at=TUESDAY + timedelta(seconds=50), etag="e")])
    assert select(second, [image("a", "e")], recheck_after=DAY)[0] == ""


class TestBudget:
    def test_new_images_come_first_then_the_oldest(self, table: ResultTable, second: ResultTable) -> None:
        table.write([found("tue", at=TUESDAY), found("wed", at=WEDNESDAY), found("mon", at=MONDAY)])
        table.write([unanswered("failed", "failed", at=WEDNESDAY)])
        listing = [image(uri) for uri in ("wed", "tue", "new", "mon", "failed")]
        uris, due = select(second, listing, max_images=4, now=WEDNESDAY)
        assert uris == "new failed mon tue"
        assert counts(due) == (5, 0, 0, 1)

    @pytest.mark.parametrize("budget", range(8))
    def test_every_image_is_counted_once(self, table: ResultTable, second: ResultTable, budget: int) -> None:
        table.write([found(uri, at=MONDAY, etag="e") for uri in "bdf"] + [found("c", at=WEDNESDAY, etag="e")])
        second.write([found("x")])
        listing = [image(uri, "e") for uri in "abcdefgx"]
        uris, due = select(second, listing, max_images=budget, recheck_after=DAY, now=WEDNESDAY + DAY / 2)
        searched = len(uris.split())
        assert searched == min(6, budget)
        assert counts(due) == (8, 1, 1, 6 - searched)

    def test_ties_keep_the_order_of_the_listing(self, table: ResultTable, second: ResultTable) -> None:
        table.write([found(uri) for uri in "dcba"])
        assert select(second, map(image, "dcba"), max_images=2)[0] == "d c"

    def test_first_image_comes_before_the_listing_ends(self, table: ResultTable) -> None:
        endless = map(image, itertools.count())
        assert next(iter(DueImages(endless, table, max_images=1))).uri == "0"


def test_log_shows_how_many_are_skipped_and_why(
    table: ResultTable, second: ResultTable, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    table.write([found(str(n), etag="e") for n in range(1500)])
    second.write([found("done")])
    listing = [image(uri, "e") for uri in ("done", *range(2000))]
    select(second, listing, recheck_after=9 * DAY, max_images=100)
    assert [record.getMessage() for record in caplog.records if record.name.endswith("results.due")] == [
        "Resuming: skipping 1 images finished by earlier attempts",
        "Listed 2,001 images: 1 finished by earlier attempts, 0 by other tasks of this run, 1,500 unchanged, "
        "400 over max_images",
    ]


def test_memory_does_not_grow_with_the_listing(table: ResultTable, second: ResultTable) -> None:
    listed = 20 * KEYS_PER_QUERY
    table.write([found(str(n), etag="e") for n in range(listed)])

    def listing() -> Iterator[Image]:
        for n in range(listed):
            if n == 5 * KEYS_PER_QUERY:
                tracemalloc.start()
            yield image(n, "e")

    _, due = select(second, listing(), recheck_after=9 * DAY, max_images=10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert due.unchanged == listed
    assert peak < 5_000_000
