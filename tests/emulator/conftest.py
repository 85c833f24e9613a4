from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.emulator.copies import CopyIndex
from airflow_provider_yandex_vision.emulator.pages import Page, index_pages

Photo = Callable[[str], bytes]


@pytest.fixture(scope="session")
def photo() -> Photo:
    """A photo of scikit-image, by file name."""
    return lambda name: (files("skimage") / "data" / name).read_bytes()


@pytest.fixture(scope="session")
def cat(photo: Photo) -> bytes:
    """Copies of it are on two pages."""
    return photo("chelsea.png")


@pytest.fixture(scope="session")
def rocket(photo: Photo) -> bytes:
    """On no page."""
    return photo("rocket.jpg")


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory, cat: bytes, photo: Photo) -> Path:
    folder = tmp_path_factory.mktemp("web")
    _publish(folder / "cats.example/best of 2024/my-cat.jpg", cat, shrink=2)
    _publish(folder / "news.example/front.jpg", cat, shrink=3)
    _publish(folder / "shop.example/coffee.jpg", photo("coffee.png"), shrink=2)
    described = {"pageUrl": "news.example/?id=7", "title": "Кот недели", "description": "«Мяу»"}
    (folder / "news.example/front.jpg.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def index(web: Path) -> CopyIndex[Page]:
    return index_pages(web)


def _publish(file: Path, content: bytes, shrink: int) -> None:
    from PIL import Image

    file.parent.mkdir(parents=True)
    with Image.open(BytesIO(content)) as picture:
        picture.reduce(shrink).save(file, quality=80)
