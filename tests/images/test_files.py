from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from moto.backends import get_backend

from airflow_provider_yandex_vision.images.files import files_below, files_like
from airflow_provider_yandex_vision.images.storage import Location
from tests.images.conftest import BUCKET
from tests.images.test_storage import put

KEYS = ["a.jpg", "b.png", "year/a.jpg", "year/1/b.jpg", "year/1/deep/c.jpg", "year/2/b.JPG", "yearly/b.jpg", "year/1/"]


@pytest.fixture
def fs(s3: Any) -> Any:
    put(s3, *KEYS)
    return Location.open(f"s3://storage@{BUCKET}/").fs


@pytest.mark.parametrize(
    "pattern",
    [
        "*.jpg",
        "year/*",
        "year/*/b.jpg",
        "year*/b.jpg",
        "**/b.jpg",
        "year/**",
        "year/**/c.jpg",
        "*a*",
        "x*",
    ],
)
def test_a_pattern_means_on_s3_what_fsspec_says_it_means(fs: Any, pattern: str) -> None:
    path = f"{BUCKET}/{pattern}"
    expected = [name for name, info in fs.glob(path, detail=True).items() if info["type"] == "file"]
    assert [file.name for file in files_like(fs, path)] == sorted(name for name in expected if not name.endswith("/"))


ODD = ["what?/a.jpg", "whatx/a.jpg", "[2024] a/a.jpg", "2/a.jpg"]


@pytest.mark.parametrize(("pattern", "name"), [("what?/*.jpg", "what?/a.jpg"), ("[2024] a/*", "[2024] a/a.jpg")])
@pytest.mark.parametrize("store", ["s3", "file"])
def test_only_stars_are_wildcards(s3: Any, tmp_path: Path, store: str, pattern: str, name: str) -> None:
    put(s3, *ODD)
    for odd in ODD:
        (tmp_path / odd).parent.mkdir(exist_ok=True)
        (tmp_path / odd).touch()
    root = f"s3://storage@{BUCKET}" if store == "s3" else f"file://{tmp_path}"
    (image,) = Location.open(f"{root}/{pattern}").list()
    assert image.uri.endswith(f"/{name}")


@pytest.mark.parametrize("directory", ["", "/year", "/year/1", "/a.jpg"])
def test_a_directory_holds_on_s3_what_fsspec_finds_in_it(fs: Any, directory: str) -> None:
    found = [name for name in fs.find(f"{BUCKET}{directory}") if not name.endswith("/")]
    assert [file.name for file in files_below(fs, f"{BUCKET}{directory}")] == sorted(found)


@pytest.fixture
def many(s3: Any) -> Iterator[str]:
    """A directory of 2,500 files: S3 has 1,000 on a page."""
    bucket = get_backend("s3")["123456789012"]["aws"]
    for number in range(2500):
        bucket.put_object(BUCKET, f"many/{number:05}.jpg", b"x")
    yield f"{BUCKET}/many"
    bucket.buckets[BUCKET].keys.clear()


def listings(caplog: pytest.LogCaptureFixture) -> int:
    """Requests for a page."""
    return sum("list-type=2" in record.getMessage() for record in caplog.records)


def test_s3_is_listed_page_by_page_as_files_are_asked_for(many: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "werkzeug")
    files = files_below(Location.open(f"s3://storage@{many}/").fs, many)
    requests = []
    for count in (1, 999, 1, 1499):
        caplog.clear()
        assert len(list(islice(files, count))) == count
        requests.append(listings(caplog))
    assert requests == [1, 0, 1, 1]


def test_a_glob_does_not_list_what_is_deeper_than_it_goes(many: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "werkzeug")
    assert list(files_like(Location.open(f"s3://storage@{many}/").fs, f"{BUCKET}/*.jpg")) == []
    assert listings(caplog) == 1
