"""Real photographs from scikit-image as a user's images, and copies of some of them as the web."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

PHOTOS = files("skimage") / "data"


def make_web(folder: Path) -> Path:
    """Copies of the cat on two sites and of the coffee on one."""
    from PIL import Image

    for name, sites in {"chelsea.png": ["cats.example", "news.example"], "coffee.png": ["cafe.example"]}.items():
        for site in sites:
            (folder / site).mkdir(parents=True)
            with Image.open(str(PHOTOS / name)) as photo:
                photo.convert("RGB").reduce(2).save(folder / site / "copy.jpg")
    return folder


def make_pictures(folder: Path) -> Path:
    """A cat, a duplicate of it, a coffee, a rocket without copies, and three bad files."""
    from PIL import Image

    folder.mkdir()
    for name, copy in {"chelsea.png": "cat.jpg", "coffee.png": "coffee.jpg", "rocket.jpg": "rocket.jpg"}.items():
        with Image.open(str(PHOTOS / name)) as photo:
            photo.convert("RGB").save(folder / copy)
    cat = (folder / "cat.jpg").read_bytes()
    (folder / "twin.jpg").write_bytes(cat)
    (folder / "broken.jpg").write_bytes(cat[: len(cat) // 2])
    (folder / "empty.png").touch()
    (folder / "notes.jpg").write_text("not a picture")
    return folder
