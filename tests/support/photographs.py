"""Real photographs from scikit-image as a user's images, and copies of some of them as the web."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path

PHOTOS = files("skimage") / "data"


def make_web(folder: Path) -> Path:
    """Copies of the cat on two sites and of the coffee on one."""
    for name, sites in {"chelsea.png": ["cats.example", "news.example"], "coffee.png": ["cafe.example"]}.items():
        for site in sites:
            (folder / site).mkdir(parents=True)
            (folder / site / "copy.jpg").write_bytes(_jpeg(name, shrink=2))
    return folder


def make_pictures(folder: Path) -> Path:
    """A cat, a duplicate of it, a coffee, a rocket without copies, and three bad files."""
    folder.mkdir()
    for name, copy in {"chelsea.png": "cat.jpg", "coffee.png": "coffee.jpg", "rocket.jpg": "rocket.jpg"}.items():
        (folder / copy).write_bytes(_jpeg(name))
    cat = (folder / "cat.jpg").read_bytes()
    (folder / "twin.jpg").write_bytes(cat)
    (folder / "broken.jpg").write_bytes(cat[: len(cat) // 2])
    (folder / "empty.png").touch()
    (folder / "notes.jpg").write_text("not a picture")
    return folder


@cache
def _jpeg(name: str, shrink: int = 1) -> bytes:
    from PIL import Image

    file = BytesIO()
    with Image.open(str(PHOTOS / name)) as photo:
        photo.convert("RGB").reduce(shrink).save(file, "JPEG")
    return file.getvalue()
