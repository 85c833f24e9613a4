"""Tables of older versions, with rows in them, on every database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, create_engine
from sqlalchemy.engine import Engine

from airflow_provider_yandex_vision.results.rows import finding_id, image_id, match_id
from airflow_provider_yandex_vision.results.schema import Tables, Text, Timestamp
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.vision.errors import TableError
from tests.results.samples import FIRST_RUN, MONDAY, SECOND_RUN, SHA, TUESDAY, WEDNESDAY, found, match, select_rows

TASK = "dag_id run_id task_id map_index"


def first_tables(name: str) -> tuple[sa.Table, sa.Table]:
    """As the first version created them; matches had a key of image, page and image URL."""
    metadata = sa.MetaData()
    texts = {each: Column(each, Text) for each in ("error_code", "error_message", "etag", "mime_type")}
    images = sa.Table(
        name,
        metadata,
        Column("image_id", sa.CHAR(64), primary_key=True),
        Column("image_uri", Text, nullable=False),
        Column("status", sa.Unicode(16), nullable=False),
        Column("copy_count", sa.BigInteger),
        Column("match_count", sa.BigInteger),
        *texts.values(),
        Column("content_sha256", sa.CHAR(64), index=True),
        Column("size_bytes", sa.BigInteger),
        Column("searched_at", Timestamp, nullable=False),
        Column("dag_id", sa.Unicode(250), nullable=False),
        Column("run_id", sa.Unicode(250), nullable=False, index=True),
        Column("task_id", sa.Unicode(250), nullable=False),
        Column("map_index", sa.Integer, nullable=False),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    matches = sa.Table(
        f"{name}_matches",
        metadata,
        Column("match_id", sa.CHAR(64), primary_key=True),
        Column("image_id", sa.CHAR(64), nullable=False, index=True),
        Column("rank_no", sa.BigInteger, nullable=False),
        *(Column(each, Text, nullable=False) for each in ("image_url", "page_url", "domain", "title", "description")),
        Column("first_seen_at", Timestamp, nullable=False),
        Column("last_seen_at", Timestamp, nullable=False),
        Column("first_seen_run_id", sa.Unicode(250), nullable=False, index=True),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    return images, matches


def image(uri: str, status: str = "found", sha256: str | None = SHA, **columns: Any) -> dict[str, Any]:
    return {
        "image_id": image_id(uri),
        "image_uri": uri,
        "status": status,
        "match_count": 3,
        "content_sha256": sha256,
        "searched_at": TUESDAY,
        **vars(FIRST_RUN),
        **columns,
    }


def shown(uri: str, page: str, url: str, rank: int, first: datetime = MONDAY, last: datetime = TUESDAY) -> Any:
    key = hashlib.sha256("\0".join((image_id(uri), page, url)).encode()).hexdigest()
    texts = {"domain": "img.example.co.uk", "title": f"{url} {rank}", "description": "д"}
    seen = {"first_seen_at": first, "last_seen_at": last, "first_seen_run_id": f"run of {first:%A}"}
    ids = {"match_id": key, "image_id": image_id(uri), "rank_no": rank}
    return {**ids, "page_url": page, "image_url": url, **texts, **seen}


URLS = "https://img.example.co.uk/page", "https://anna.github.io/", "https://gone.example.com/"


def fill(engine: Engine, name: str, images: Iterable[Any], matches: Iterable[Any]) -> None:
    first = first_tables(name)
    with engine.begin() as connection:
        for table, rows in zip(first, (images, matches), strict=True):
            table.create(connection)
            for row in rows:
                connection.execute(table.insert(), row)


@pytest.fixture
def old(engine: Engine, name: str) -> str:
    """Name of a table that the first version made."""
    uri = "s3://b/1"
    page, other, gone = URLS
    matches = [
        shown(uri, page, "renamed.jpg", 2),
        shown(uri, page, "large.jpg", 1, TUESDAY),
        shown(uri, page, "first name.jpg", 1, MONDAY, MONDAY),
        shown(uri, other, "a.jpg", 3),
        shown(uri, gone, "a.jpg", 1, MONDAY, MONDAY),
        shown("s3://b/2", page, "a.jpg", 1),
    ]
    images = [
        image(uri),
        image("s3://b/2", "failed", None, match_count=1),
        image("s3://b/3", "none", None, match_count=0),
    ]
    fill(engine, name, images, matches)
    return name


def test_matches_keep_their_history_and_get_new_keys(engine: Engine, old: str) -> None:
    ResultTable(engine, old, SECOND_RUN).prepare()
    page, other, gone = URLS
    one, two = image_id("s3://b/1"), image_id("s3://b/2")
    columns = ("match_id", "finding_id", "page_url", "image_url", "rank_no", "site", "first_seen_run_id")
    assert select_rows(engine, f"{old}_matches", *columns) == sorted(
        (match_id(key, page, ""), finding_id(sha256, key, page, ""), page, url, rank, site, "run of Monday")
        for key, sha256, page, url, rank, site in [
            (one, SHA, page, "large.jpg", 1, "example.co.uk"),
            (one, SHA, other, "a.jpg", 3, "anna.github.io"),
            (one, SHA, gone, "a.jpg", 1, "example.com"),
            (two, None, page, "a.jpg", 1, "example.co.uk"),
        ]
    )
    rows = select_rows(engine, f"{old}_matches", "page_url", "current", "first_seen_dag_id")
    assert sorted({(page, bool(current), dag) for page, current, dag in rows}) == sorted(
        [(page, True, "copies"), (other, True, "copies"), (gone, False, "copies")]
    )
    assert select_rows(engine, old, "image_uri", "match_count") == [("s3://b/1", 2), ("s3://b/2", 1), ("s3://b/3", 0)]


def test_nothing_old_is_announced_as_new(engine: Engine, old: str) -> None:
    """Not even a page whose picture has been renamed since."""
    table = ResultTable(engine, old, SECOND_RUN)
    table.prepare()
    seen_again = [match(page, n, image_url="new name.jpg") for n, page in enumerate(URLS, start=1)]
    table.write([found("s3://b/1", *seen_again, match("new page", 4), at=WEDNESDAY, sha256=SHA)])
    assert table.new_matches() == 1
    assert select_rows(engine, f"{old}_matches", "first_seen_at") != []
    assert table.known([SHA])[SHA].matches[0].image_url == "new name.jpg"


def test_old_answers_are_known(engine: Engine, old: str) -> None:
    table = ResultTable(engine, old, FIRST_RUN)
    table.prepare()
    answer = table.known([SHA])[SHA]
    assert (answer.uri, answer.request_id, answer.conn_id) == ("s3://b/1", None, None)
    assert [(each.image_url, each.site) for each in answer.matches] == [
        ("large.jpg", "example.co.uk"),
        ("a.jpg", "anna.github.io"),
    ]
    assert table.lookup(["s3://b/1"])["s3://b/1"].checked_at == TUESDAY


def test_tasks_may_race_to_convert_a_table(url: str, engine: Engine, name: str) -> None:
    uris = [f"s3://b/{n}" for n in range(400)]
    pages = [shown(uri, page, f"{n}.jpg", n) for uri in uris for page in "ab" for n in range(1, 3)]
    fill(engine, name, map(image, uris), pages)
    engines = [engine] * 4 if engine.dialect.name == "duckdb" else [create_engine(url) for _ in range(4)]

    def start(number: int) -> None:
        table = ResultTable(engines[number], name, SECOND_RUN)
        table.prepare()
        table.write([found(f"s3://b/{number}", "a", "c", at=WEDNESDAY, sha256=SHA)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, range(4)))
    for each in engines:
        each.dispose()
    rows = select_rows(engine, f"{name}_matches", "image_id", "page_url", "current")
    kept = [(image_id(uri), page, True) for uri in uris for page in "ab"]
    changed = {image_id(uri): uri for uri in uris[:4]}
    expected = [(key, page, page == "a" or key not in changed) for key, page, _ in kept]
    assert sorted((key, page, bool(current)) for key, page, current in rows) == sorted(
        expected + [(key, "c", True) for key in changed]
    )


def test_additional_columns_survive(engine: Engine, old: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {old}_matches ADD COLUMN note VARCHAR(20)")
        connection.exec_driver_sql(f"UPDATE {old}_matches SET note = 'licensed'")
    ResultTable(engine, old, FIRST_RUN).prepare()
    assert select_rows(engine, f"{old}_matches", "note") == [("licensed",)] * 4


def test_statements_to_run_are_the_error_without_create(engine: Engine, old: str) -> None:
    table = ResultTable(engine, old, SECOND_RUN)
    with pytest.raises(TableError, match="was made by an older version: run these statements") as caught:
        table.prepare(create=False)
    _, _, statements = str(caught.value).rpartition("create_table=True: ")
    assert len(statements.split("; ")) == 17
    with engine.begin() as connection:
        for statement in statements.split("; "):
            connection.exec_driver_sql(statement)
    table.prepare(create=False)
    assert len(select_rows(engine, f"{old}_matches", "match_id")) == 4
    ResultTable(engine, old, SECOND_RUN).prepare()
    assert {column.name for column in Tables.named(old).matches.columns} >= {"site", "current"}


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_indexes_are_added(engine: Engine, old: str) -> None:
    ResultTable(engine, old, SECOND_RUN).prepare()
    indexes = [each["column_names"] for each in sa.inspect(engine).get_indexes(f"{old}_matches")]
    assert ["first_seen_dag_id", "first_seen_run_id"] in indexes
