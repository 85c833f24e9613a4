"""Images for the demo, and a web with altered copies of some: ``demo/images.py --images DIR --web DIR``.

The photos are part of scikit-image's wheel (https://scikit-image.org). A second run changes no file, so images that
were searched are unchanged.
"""

# ruff: noqa: TID253
from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PHOTOS = {
    "astronaut.jpg": "astronaut.png",
    "brick-wall.jpg": "brick.png",
    "cameraman.jpg": "camera.png",
    "cat.jpg": "chelsea.png",
    "clock.jpg": "clock_motion.png",
    "coffee.jpg": "coffee.png",
    "coins.png": "coins.png",
    "deep-field.jpg": "hubble_deep_field.jpg",
    "moon.jpg": "moon.png",
    "motorcycle.jpg": "motorcycle_left.png",
    "retina.jpg": "retina.jpg",
    "rocket.jpg": "rocket.jpg",
}
"""Scikit-image's photos by their names in the demo."""


@dataclass(frozen=True)
class Copy:
    """An altered copy on the web.

    :param file: ``<site>/<path>/<image>``.
    :param photo: name in scikit-image.
    :param scale: of the width and the height.
    :param cut: share of the width and the height cut off at each side.
    :param quality: of a JPEG.
    :param mark: text of a watermark.
    """

    file: str
    photo: str
    title: str
    description: str = ""
    scale: float = 1.0
    cut: float = 0.0
    quality: int = 80
    mark: str = ""


WEB = (
    Copy("lightbox.example/catalog/cats/chelsea.jpg", "chelsea.png", "Chelsea, a ginger cat", "Stock photo", scale=0.9),
    Copy("lightbox.example/catalog/space/launch.jpg", "rocket.jpg", "Rocket launch", "Stock photo", scale=0.9),
    Copy(
        "kotiki.example/luchshie/kot-nedeli.jpg",
        "chelsea.png",
        "Кот недели: Челси",
        "Рыжий кот. Фото читателя",
        scale=0.8,
    ),
    Copy("daily-news.example/2026/pets/cat.jpg", "chelsea.png", "Ten cats that rule the web", scale=0.5, quality=40),
    Copy("wallpapers.example/animals/cat-1920.png", "chelsea.png", "Cat wallpaper, free download", scale=1.5),
    Copy("forum.example/t/4711/avatar.jpg", "chelsea.png", "What breed is my cat?", "23 replies", scale=0.4, cut=0.1),
    Copy("neko.example/photo/0042.jpg", "chelsea.png", "猫の写真", mark="neko.example"),
    Copy("кофейня.example/меню/эспрессо.jpg", "coffee.png", "Меню: эспрессо", "Кофе, завтраки и пирожные", scale=0.6),
    Copy("wallpapers.example/food/coffee.jpg", "coffee.png", "Coffee wallpaper", "Free download", cut=0.03, quality=60),
    Copy("marketplace.example/item/881/cup.jpg", "coffee.png", "Espresso cup with spoon, 12 €", cut=0.07, scale=0.7),
    Copy("daily-news.example/2026/space/launch.jpg", "rocket.jpg", "Rocket lifts off at dawn", scale=0.5, quality=50),
    Copy("space-fans.example/gallery/rocket.jpg", "rocket.jpg", "Our launch gallery", "", cut=0.05, mark="space-fans"),
    Copy("space-fans.example/gallery/astronaut.jpg", "astronaut.png", "Crew portraits", "Hall of fame", scale=0.75),
    Copy("daily-news.example/2026/space/crew.jpg", "astronaut.png", "First in space", scale=0.4, quality=30),
    Copy("space-fans.example/deep-sky/field.jpg", "hubble_deep_field.jpg", "Looking back in time", scale=0.5),
    Copy("wallpapers.example/space/moon.png", "moon.png", "Moon wallpaper", cut=0.04),
    Copy("marketplace.example/item/17/bike.jpg", "motorcycle_right.png", "Motorcycle, hardly used", scale=0.5),
    Copy("forum.example/t/512/garage.jpg", "motorcycle_left.png", "Show us your garage", cut=0.05, quality=35),
    Copy("stones.example/gravel.jpg", "gravel.png", "Gravel, by the ton"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder for the images")
    parser.add_argument("--web", type=Path, required=True, metavar="DIR", help="folder for the copies")
    options = parser.parse_args()
    images = make_images(options.images)
    sites = len({copy.file.partition("/")[0] for copy in WEB})
    make_web(options.web)
    print(f"{images} images, and a web of {len(WEB)} copies on {sites} sites")


def make_images(folder: Path) -> int:
    """Write the owner's images; one is a duplicate, one is truncated, one is not an image. :return: their number."""
    contents = {name: _encode(_open(photo), name, quality=90) for name, photo in PHOTOS.items()}
    contents["cat-again.jpg"] = contents["cat.jpg"]
    contents["broken.jpg"] = contents["moon.jpg"][: len(contents["moon.jpg"]) // 2]
    contents["notes.jpg"] = b"Not an image, despite the name.\n"
    for name, content in contents.items():
        _write(folder / name, content)
    return len(contents)


def make_web(folder: Path) -> None:
    for copy in WEB:
        _write(folder / copy.file, _encode(_alter(_open(copy.photo), copy), copy.file, copy.quality))
        page = {"title": copy.title, "description": copy.description}
        _write(folder / f"{copy.file}.json", json.dumps(page, ensure_ascii=False).encode())


def _alter(image: Image.Image, copy: Copy) -> Image.Image:
    width, height = image.size
    left, top = round(width * copy.cut), round(height * copy.cut)
    image = image.crop((left, top, width - left, height - top))
    image = image.resize((round(image.width * copy.scale), round(image.height * copy.scale)))
    if copy.mark:
        font = ImageFont.load_default(image.height // 12)
        place = (image.width * 0.05, image.height * 0.85)
        ImageDraw.Draw(image).text(place, copy.mark, fill="white", font=font)
    return image


def _open(photo: str) -> Image.Image:
    return Image.open(BytesIO((files("skimage") / "data" / photo).read_bytes())).convert("RGB")


def _encode(image: Image.Image, name: str, quality: int) -> bytes:
    file = BytesIO()
    image.save(file, "PNG" if name.endswith(".png") else "JPEG", quality=quality)
    return file.getvalue()


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists() or file.read_bytes() != content:
        file.write_bytes(content)


if __name__ == "__main__":
    main()
