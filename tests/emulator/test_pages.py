from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_yandex_vision.emulator.copies import CopyIndex
from airflow_provider_yandex_vision.emulator.pages import Page, index_pages
from airflow_provider_yandex_vision.vision.errors import ConfigurationError


def test_image_is_on_the_page_of_its_folder(index: CopyIndex[Page]) -> None:
    assert index.items[0] == Page(
        domain="cats.example",
        image_url="https://cats.example/best%20of%202024/my-cat.jpg",
        page_url="https://cats.example/best%20of%202024",
        title="my cat",
    )


def test_json_file_describes_the_page(index: CopyIndex[Page]) -> None:
    assert index.items[1] == Page(
        domain="news.example",
        image_url="https://news.example/front.jpg",
        page_url="news.example/?id=7",
        title="Кот недели",
        description="«Мяу»",
    )


def test_image_at_the_root_is_on_the_front_page(index: CopyIndex[Page]) -> None:
    assert index.items[2].page_url == "https://shop.example/"


def test_empty_strings_are_left_out_of_a_reply() -> None:
    page = Page("a.example", "https://a.example/b.jpg", "https://a.example/", title="")
    assert page.to_json() == {"imageUrl": "https://a.example/b.jpg", "pageUrl": "https://a.example/"}


def test_order_is_stable(web: Path, index: CopyIndex[Page]) -> None:
    assert index_pages(web).items == index.items


@pytest.mark.parametrize(("folder", "message"), [("missing", "is not a folder"), ("", "has no images below it")])
def test_folder_without_images_is_an_error(tmp_path: Path, folder: str, message: str) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigurationError, match=message):
        index_pages(tmp_path / folder)


def test_image_outside_a_site_is_an_error(tmp_path: Path, rocket: bytes) -> None:
    (tmp_path / "rocket.jpg").write_bytes(rocket)
    with pytest.raises(ConfigurationError, match=r"rocket\.jpg belongs to no site"):
        index_pages(tmp_path)


def test_error_names_the_broken_image(tmp_path: Path) -> None:
    (tmp_path / "a.example").mkdir()
    (tmp_path / "a.example/notes.jpg").write_text("text")
    with pytest.raises(ConfigurationError, match=r"notes\.jpg cannot be decoded"):
        index_pages(tmp_path)


@pytest.mark.parametrize(
    ("sidecar", "message"),
    [
        ("{", "is not JSON"),
        ('["title"]', "must be an object of strings"),
        ('{"title": 1}', "must be an object of strings"),
        ('{"titel": "Rocket"}', r"unknown fields \['titel'\]"),
    ],
)
def test_error_names_the_invalid_json_file(tmp_path: Path, rocket: bytes, sidecar: str, message: str) -> None:
    (tmp_path / "a.example").mkdir()
    (tmp_path / "a.example/rocket.jpg").write_bytes(rocket)
    (tmp_path / "a.example/rocket.jpg.json").write_text(sidecar)
    with pytest.raises(ConfigurationError, match=rf"rocket\.jpg\.json.* {message}"):
        index_pages(tmp_path)
