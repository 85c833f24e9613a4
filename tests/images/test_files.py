from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_yandex_vision.images.files import File, files_below, files_matching
from airflow_provider_yandex_vision.images.urls import list_images
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from tests.images.conftest import BUCKET, ROOT, delete_all, filesystem, put, put_many


def make_files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


KEYS = ["a.jpg", "b.png", "year/a.jpg", "year/1/b.jpg", "year/1/deep/c.jpg", "year/2/b.JPG", "yearly/b.jpg", "year/1/"]


@pytest.fixture
def fs(s3: Any) -> Any:
    put(s3, *KEYS)
    return filesystem()


PATTERNS = [
    "*.jpg",
    "year/*",
    "year/*/b.jpg",
    "year*/b.jpg",
    "**/b.jpg",
    "year/**",
    "year/**/c.jpg",
    "*/1/**/*.jpg",
    "*a*",
    "x*",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_globs_match_on_s3_what_fsspec_matches(fs: Any, pattern: str) -> None:
    path = f"{BUCKET}/{pattern}"
    expected = [name for name, info in fs.glob(path, detail=True).items() if info["type"] == "file"]
    assert [file.name for file in files_matching(fs, path)] == sorted(
        name for name in expected if not name.endswith("/")
    )


@pytest.mark.parametrize("pattern", PATTERNS)
def test_globs_match_in_folders_what_fsspec_matches(tmp_path: Path, pattern: str) -> None:
    fs = fsspec.filesystem("file")
    make_files(tmp_path, *(key for key in KEYS if not key.endswith("/")))
    found = fs.glob(f"{tmp_path}/{pattern}", detail=True)
    expected = [name for name, info in found.items() if info["type"] == "file"]
    assert [file.name for file in files_matching(fs, f"{tmp_path}/{pattern}")] == sorted(expected)


class TestFolders:
    fs = fsspec.filesystem("file")

    def names(self, folder: Path) -> list[str]:
        return [os.path.relpath(file.name, folder) for file in files_below(self.fs, str(folder))]

    @pytest.fixture
    def closed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder with another in it that may not be read."""
        return self.folder(tmp_path, PermissionError("Permission denied: 'closed'"), monkeypatch)

    def folder(self, path: Path, error: OSError, monkeypatch: pytest.MonkeyPatch) -> Path:
        make_files(path, "a.jpg", "closed/b.jpg", "open/c.jpg")
        ls = LocalFileSystem.ls

        def fail(fs: Any, path: str, **options: Any) -> Any:
            if path.endswith("/closed"):
                raise error
            return ls(fs, path, **options)

        monkeypatch.setattr(LocalFileSystem, "ls", fail)
        return path

    @pytest.mark.parametrize("rest", ["/", "", "/**", "/**/c.jpg", "/*/*.jpg"])
    def test_that_may_not_be_read_fail_the_listing(self, closed: Path, rest: str) -> None:
        with pytest.raises(ConfigurationError, match=r"permission denied to list .*closed"):
            list_images(f"file://{closed}{rest}")

    @pytest.mark.parametrize(
        ("rest", "name"), [("/*.jpg", "a.jpg"), ("/o*/*", "open/c.jpg"), ("/open/**", "open/c.jpg")]
    )
    def test_that_no_pattern_asks_for_need_not_be_readable(self, closed: Path, rest: str, name: str) -> None:
        assert [image.uri for image in list_images(f"file://{closed}{rest}")] == [f"file://{closed}/{name}"]

    def test_are_listed_in_the_order_of_their_paths(self, tmp_path: Path) -> None:
        make_files(tmp_path, "b/1", "b-1", "b.1", "b/2/3", "a", "b0")
        assert self.names(tmp_path) == ["a", "b-1", "b.1", "b/1", "b/2/3", "b0"]

    def test_links_to_files_count_but_links_to_folders_are_not_followed(self, tmp_path: Path) -> None:
        make_files(tmp_path, "real/a.jpg")
        (tmp_path / "link.jpg").symlink_to(tmp_path / "real/a.jpg")
        (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "missing")
        (tmp_path / "real/circle").symlink_to(tmp_path)
        assert self.names(tmp_path) == ["link.jpg", "real/a.jpg"]
        assert self.names(tmp_path / "real/circle") == ["link.jpg", "real/a.jpg"]

    def test_what_is_neither_file_nor_folder_is_passed_over(self, tmp_path: Path) -> None:
        make_files(tmp_path, "a.jpg")
        os.mkfifo(tmp_path / "pipe.jpg")
        assert self.names(tmp_path) == ["a.jpg"]

    def test_that_vanish_meanwhile_are_passed_over(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = self.folder(tmp_path, FileNotFoundError("gone"), monkeypatch)
        assert self.names(folder) == ["a.jpg", "open/c.jpg"]


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


@pytest.mark.parametrize("directory", ["", "/year", "/year/1"])
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


def test_etag_falls_back_to_size_and_time_of_change(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    info = fsspec.filesystem("file").info(tmp_path / "a")
    assert File.of("a", info).etag == f"3-{info['mtime']}"
    assert File.of("a", {"size": 3}).etag is None
