from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import pytest

from airflow_provider_yandex_vision.images.files import File, files_below, files_matching, read_file
from airflow_provider_yandex_vision.images.urls import list_images
from airflow_provider_yandex_vision.vision import Content
from airflow_provider_yandex_vision.vision.errors import ImageUnreadableError
from tests.images.conftest import BUCKET, ROOT, delete_all, filesystem, put, put_many

KEYS = ["a.jpg", "b.png", "year/a.jpg", "year/1/b.jpg", "year/1/deep/c.jpg", "year/2/b.JPG", "yearly/b.jpg", "year/1/"]


@pytest.fixture
def fs(s3: Any) -> Any:
    put(s3, *KEYS)
    return filesystem()


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
def test_globs_match_on_s3_what_fsspec_matches(fs: Any, pattern: str) -> None:
    path = f"{BUCKET}/{pattern}"
    expected = [name for name, info in fs.glob(path, detail=True).items() if info["type"] == "file"]
    assert [file.name for file in files_matching(fs, path)] == sorted(
        name for name in expected if not name.endswith("/")
    )


ODD = ["what?/a.jpg", "whatx/a.jpg", "[2024] a/a.jpg", "2/a.jpg"]


@pytest.mark.parametrize(("pattern", "name"), [("what?/*.jpg", "what?/a.jpg"), ("[2024] a/*", "[2024] a/a.jpg")])
@pytest.mark.parametrize("store", ["s3", "file"])
def test_only_stars_are_wildcards(s3: Any, tmp_path: Path, store: str, pattern: str, name: str) -> None:
    put(s3, *ODD)
    for odd in ODD:
        (tmp_path / odd).parent.mkdir(exist_ok=True)
        (tmp_path / odd).touch()
    root = ROOT if store == "s3" else f"file://{tmp_path}"
    (image,) = list_images(f"{root}/{pattern}")
    assert image.uri.endswith(f"/{name}")


@pytest.mark.parametrize("directory", ["", "/year", "/year/1", "/a.jpg"])
def test_directories_hold_on_s3_what_fsspec_finds(fs: Any, directory: str) -> None:
    found = [name for name in fs.find(f"{BUCKET}{directory}") if not name.endswith("/")]
    assert [file.name for file in files_below(fs, f"{BUCKET}{directory}")] == sorted(found)


@pytest.fixture
def many(s3: Any) -> Iterator[str]:
    """A directory of 2,500 files, which S3 lists in pages of 1,000."""
    put_many(2500)
    yield f"{BUCKET}/many"
    delete_all()


def listing_pages(caplog: pytest.LogCaptureFixture) -> int:
    """Requests for a page of a listing."""
    return sum("list-type=2" in record.getMessage() for record in caplog.records)


def test_s3_listing_pages_are_fetched_on_demand(many: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "werkzeug")
    files = files_below(filesystem(), many)
    pages = []
    for count in (1, 999, 1, 1499):
        caplog.clear()
        assert len(list(islice(files, count))) == count
        pages.append(listing_pages(caplog))
    assert pages == [1, 0, 1, 1]


def test_glob_does_not_list_deeper_levels(many: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "werkzeug")
    assert list(files_matching(filesystem(), f"{BUCKET}/*.jpg")) == []
    assert listing_pages(caplog) == 1


class ListedStore:
    """A remote store that returns, and caches, its listing whole."""

    protocol = ("memory",)

    def __init__(self) -> None:
        self.listing = {"b": {"name": "b", "type": "file"}, "a": {"name": "a", "type": "file"}}
        self.cached = False

    def find(self, path: str, *, detail: bool) -> dict[str, Any]:
        self.cached = True
        return self.listing

    def invalidate_cache(self) -> None:
        self.cached = False


def test_whole_listing_is_dropped_before_the_first_file() -> None:
    store = ListedStore()
    files = files_below(store, "")
    assert next(files).name == "a"
    assert (store.listing, store.cached) == ({}, False)
    assert next(files).name == "b"


class ChangingStore:
    """A remote store whose one file is replaced before every read, until there are no more versions."""

    protocol = ("memory",)

    def __init__(self, *versions: bytes, has_sizes: bool = True) -> None:
        self.reads = 0
        self._versions = list(versions)
        self._has_sizes = has_sizes
        self._cached: dict[str, Any] | None = None

    def info(self, name: str) -> dict[str, Any]:
        if self._cached is None:
            size = len(self._versions[0])
            self._cached = {"name": name, "size": size if self._has_sizes else None, "etag": f"v{size}"}
        return self._cached

    def cat_file(self, name: str) -> bytes:
        self.reads += 1
        if len(self._versions) > 1:
            del self._versions[0]
        return self._versions[0]

    def invalidate_cache(self, path: str) -> None:
        self._cached = None


def read(store: ChangingStore) -> bytes:
    return read_file(store, File.of("a", store.info("a")))


def test_unchanged_file_is_read_once() -> None:
    store = ChangingStore(b"1")
    assert read(store) == b"1"
    assert store.reads == 1


def test_changed_file_is_read_again_with_its_new_etag() -> None:
    content = read(ChangingStore(b"1", b"22"))
    assert isinstance(content, Content)
    assert (content, content.etag) == (b"22", "v2")


def test_rewritten_local_file_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    path, fs = tmp_path / "a", fsspec.filesystem("file")
    path.write_bytes(b"old")
    listed = File.of(str(path), fs.info(path))
    path.write_bytes(b"new")
    os.utime(path, (1, 1))
    content = read_file(fs, listed)
    assert isinstance(content, Content)
    assert (content, content.etag) == (b"new", "3-1.0")


def test_file_that_keeps_changing_is_unreadable() -> None:
    with pytest.raises(ImageUnreadableError, match="keeps changing"):
        read(ChangingStore(*(b"x" * size for size in range(1, 20))))


def test_store_that_lists_no_sizes_is_read_as_it_is() -> None:
    assert read(ChangingStore(b"1", has_sizes=False)) == b"1"


def test_etag_falls_back_to_size_and_time_of_change(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    info = fsspec.filesystem("file").info(tmp_path / "a")
    assert File.of("a", info).etag == f"3-{info['mtime']}"
    assert File.of("a", {"size": 3}).etag is None
