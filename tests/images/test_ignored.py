from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.images.ignored import MAX_ENDINGS, Ignored
from airflow_provider_yandex_vision.images.urls import list_images
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from tests.images.conftest import ROOT, put
from tests.support.hostile import FORGERY, forges

OTHERS = ("notes.TXT", "deep/more.txt", "clip.mp4", "README", ".hidden")
CONVERTED = ("a.webp", "b.tif", "c.tiff", "d.BMP", "e.gif")


def folder_of(path: Path, *names: str) -> str:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    return f"file://{path}/"


def names(images: Any, **options: Any) -> list[str]:
    return [image.uri.rpartition("/")[2] for image in list_images(images, **options)]


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("Ignored")]


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setLevel(logging.INFO)


def test_conversion_lists_what_can_be_converted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "x.jpg", "y.PNG", *CONVERTED, *OTHERS)
    assert names(folder, convert=True) == [*CONVERTED, "x.jpg", "y.PNG"]
    assert names(folder) == ["x.jpg", "y.PNG"]


def test_ignored_files_are_counted_by_ending_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ignored = Ignored()
    names(folder_of(tmp_path, "x.jpg", *OTHERS), ignored=ignored)
    assert ignored.count == 5
    assert lines(caplog) == ["Ignored 5 files: 2 without an ending, 2 .txt, 1 .mp4"]


def test_images_left_out_name_the_option_that_searches_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_of(tmp_path, "x.jpg", "a.webp", "b.tif", "c.txt")
    names(folder)
    names(folder, convert=True)
    assert lines(caplog) == [
        "Ignored 3 files: 1 .tif, 1 .txt, 1 .webp; convert_images=True searches 2",
        "Ignored 1 file: 1 .txt",
    ]


def test_several_directories_are_counted_together(s3: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(s3, "l/", "l/a.jpg", "l/b.txt", "l/c.txt")
    ignored = Ignored()
    images = [f"{ROOT}/l/", folder_of(tmp_path, "x.jpg", "y.mp4"), f"{ROOT}/l/b.txt"]
    assert names(images, ignored=ignored) == ["a.jpg", "x.jpg", "b.txt"]
    assert ignored.count == 3
    assert lines(caplog) == ["Ignored 3 files: 2 .txt, 1 .mp4"]


def test_globs_and_named_objects_ignore_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_of(tmp_path, "x.jpg", "y.txt")
    assert names([f"{folder}*", f"{folder}y.txt"]) == ["x.jpg", "y.txt"]
    assert names(f"{folder}y.txt") == ["y.txt"]
    assert lines(caplog) == []


def test_directory_without_images_says_what_it_holds(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.webp", "b.webp")
    with pytest.raises(ConfigurationError) as caught:
        list_images(folder)
    reason = "there are no files that end in .jpg, .jpeg, .png, but 2 files: 2 .webp"
    assert str(caught.value) == f"no images at {folder}: {reason}"


def test_count_of_another_directory_is_not_blamed_on_an_empty_one(tmp_path: Path) -> None:
    first = folder_of(tmp_path / "1", "a.txt", "b.jpg")
    (tmp_path / "2").mkdir()
    with pytest.raises(ConfigurationError, match=r"no images at .*/2/: .* end in .jpg, .jpeg, .png$"):
        list_images([first, f"file://{tmp_path}/2/"])


def test_endings_in_memory_and_in_the_log_are_bounded() -> None:
    ignored = Ignored()
    for number in range(10_000):
        ignored.add(f"scan.{number:04}{'x' * 1000}")
    for _ in range(3):
        ignored.add("a.webp")
    assert (ignored.count, ignored.convertible) == (10_003, 3)
    assert len(ignored._by_ending) <= MAX_ENDINGS + 1
    assert len(str(ignored)) < 300
    assert str(ignored).startswith("10,003 files: 3 .webp, 1 .0000")
    assert str(ignored).endswith("9,991 others")


def test_ending_forges_no_log_line(tmp_path: Path) -> None:
    ignored = Ignored()
    ignored.add(f"a.{FORGERY}")
    ignored.add("a.\n[2026")
    assert not forges(str(ignored))
