"""How well the emulator tells copies from other images: ``python -m benchmarks copies``.

The photographs are those in scikit-image's wheel. Each is altered in every way below, and every altered copy is
compared with all originals: its own should be near, the others far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO

from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from airflow_provider_yandex_vision.emulator.copies import MAX_DISTANCE, distance, fingerprint

PHOTOS = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png",
    "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png",
    "motorcycle_right.png", "page.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
SAME_SCENE = {"motorcycle_left.png", "motorcycle_right.png"}
"""A stereo pair: near-duplicates of each other, so not counted as unrelated."""


@dataclass(frozen=True)
class Figures:
    """Distances in bits of 256.

    :param copies: by alteration, from each altered photograph to its original.
    :param unrelated: from each altered photograph to each other original.
    """

    copies: dict[str, list[int]]
    unrelated: list[int]


def encode(image: Image.Image, quality: int | None = 85) -> bytes:
    """JPEG of the given quality; None makes a PNG."""
    file = BytesIO()
    image.save(file, "PNG" if quality is None else "JPEG", quality=quality)
    return file.getvalue()


def resize(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((round(image.width * scale), round(image.height * scale)))


def crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Cut off shares of the width and of the height."""
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round(width - right * width), round(height - bottom * height))
    )


def crop_sides(image: Image.Image, share: float) -> list[bytes]:
    """Four copies, each without one of its edges."""
    return [encode(crop(image, *(share * (side == cut) for side in range(4)))) for cut in range(4)]


def brighten(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)


def watermark(image: Image.Image) -> Image.Image:
    marked = image.copy()
    font = ImageFont.load_default(max(10, image.height // 12))
    ImageDraw.Draw(marked).text((image.width * 0.05, image.height * 0.8), "example.com", fill="white", font=font)
    return marked


ALTERATIONS: dict[str, Callable[[Image.Image], list[bytes]]] = {
    "resized to 25 %": lambda image: [encode(resize(image, 0.25))],
    "resized to 50 %": lambda image: [encode(resize(image, 0.5))],
    "resized to 150 %": lambda image: [encode(resize(image, 1.5))],
    "JPEG, quality 30": lambda image: [encode(image, 30)],
    "JPEG, quality 60": lambda image: [encode(image, 60)],
    "JPEG, then PNG": lambda image: [encode(Image.open(BytesIO(encode(image))), None)],
    "15 % brighter": lambda image: [encode(brighten(image, 1.15))],
    "15 % darker": lambda image: [encode(brighten(image, 0.85))],
    "watermarked": lambda image: [encode(watermark(image))],
    "5 % off one side": lambda image: crop_sides(image, 0.05),
    "10 % off one side": lambda image: crop_sides(image, 0.1),
    "3 % off every side": lambda image: [encode(crop(image, 0.03, 0.03, 0.03, 0.03))],
    "5 % off every side": lambda image: [encode(crop(image, 0.05, 0.05, 0.05, 0.05))],
    "7 % off every side": lambda image: [encode(crop(image, 0.07, 0.07, 0.07, 0.07))],
    "10 % off every side": lambda image: [encode(crop(image, 0.1, 0.1, 0.1, 0.1))],
    "10 % off two sides": lambda image: [encode(crop(image, *cut)) for cut in ((0.1, 0.1, 0, 0), (0.1, 0, 0.1, 0))],
    "5 % off, 50 %, marked": lambda image: [encode(watermark(resize(crop(image, 0.05, 0.05, 0.05, 0.05), 0.5)))],
}


def measure(names: tuple[str, ...] = PHOTOS) -> Figures:
    originals = {name: fingerprint(_read(name)) for name in names}
    figures = Figures({alteration: [] for alteration in ALTERATIONS}, [])
    for name in names:
        photo = Image.open(BytesIO(_read(name))).convert("RGB")
        others = originals.keys() - {name} - (SAME_SCENE if name in SAME_SCENE else set())
        for alteration, alter in ALTERATIONS.items():
            for copy in map(fingerprint, alter(photo)):
                figures.copies[alteration].append(distance(copy, originals[name]))
                figures.unrelated.extend(distance(copy, originals[other]) for other in others)
    return figures


def main() -> None:
    figures = measure()
    distances = [bits for row in figures.copies.values() for bits in row]
    print(f"{'alteration':<24}{'found':>6}{'of':>6}{'farthest':>10}")
    for alteration, row in [*figures.copies.items(), ("all copies", distances)]:
        print(f"{alteration:<24}{_found(row):>6}{len(row):>6}{max(row):>10}")
    print(f"{'unrelated':<24}{'found':>6}{'of':>6}{'nearest':>10}")
    print(f"{f'{len(PHOTOS)} photographs':<24}{_found(figures.unrelated):>6}{len(figures.unrelated):>6}", end="")
    print(f"{min(figures.unrelated):>10}\nA copy may differ in {MAX_DISTANCE} bits of 256.")


def _found(distances: list[int]) -> int:
    return sum(bits <= MAX_DISTANCE for bits in distances)


def _read(name: str) -> bytes:
    return (files("skimage") / "data" / name).read_bytes()


if __name__ == "__main__":
    main()
