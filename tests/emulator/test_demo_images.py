from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.emulator.copies import UndecodableError, fingerprint
from airflow_provider_yandex_vision.emulator.pages import index_pages

SCRIPT = Path(__file__).parents[2] / "demo" / "images.py"

COPIES = {
    "astronaut.jpg": 2,
    "brick-wall.jpg": 0,
    "cameraman.jpg": 0,
    "cat-again.jpg": 6,
    "cat.jpg": 6,
    "clock.jpg": 0,
    "coffee.jpg": 3,
    "coins.png": 0,
    "deep-field.jpg": 1,
    "moon.jpg": 1,
    "motorcycle.jpg": 2,
    "retina.jpg": 0,
    "rocket.jpg": 3,
}


def make(folder: Path) -> str:
    command = [sys.executable, str(SCRIPT), "--images", str(folder / "images"), "--web", str(folder / "web")]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    assert make(folder) == "15 images, and a web of 19 copies on 10 sites\n"
    return folder


def test_emulator_finds_the_copies_in_the_demo_web(demo: Path) -> None:
    index = index_pages(demo / "web")
    images = {name: (demo / "images" / name).read_bytes() for name in COPIES}
    assert {name: len(index.search(fingerprint(content))) for name, content in images.items()} == COPIES


@pytest.mark.parametrize("name", ["notes.jpg", "broken.jpg"])
def test_broken_files_are_undecodable(demo: Path, name: str) -> None:
    with pytest.raises(UndecodableError):
        fingerprint((demo / "images" / name).read_bytes())


def test_demo_has_no_other_files(demo: Path) -> None:
    assert {file.name for file in (demo / "images").iterdir()} == {*COPIES, "notes.jpg", "broken.jpg"}


def test_second_run_changes_no_file(demo: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in demo.rglob("*.*")}
    make(demo)
    assert {file: file.stat().st_mtime_ns for file in demo.rglob("*.*")} == before
