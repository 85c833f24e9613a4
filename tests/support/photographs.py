"""Real photographs (scikit-image's) as somebody's pictures, and copies of some as the web."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

PHOTOS = files("skimage") / "data"


def make_web(folder: Path) -> Path:
    """A web that shows the cat twice and the coffee once."""
    from PIL import Image

    for name, sites in {"chelsea.png": ["cats.example", "news.example"], "coffee.png": ["cafe.example"]}.items():
        for site in sites:
            (folder / site).mkdir(parents=True)
            with Image.open(str(PHOTOS / name)) as photo:
                photo.convert("RGB").reduce(2).save(folder / site / "copy.jpg")
    return folder


def make_pictures(folder: Path) -> Path:
    """A cat, its twin, a coffee, a rocket that nobody shows, and three files that are no use."""
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
