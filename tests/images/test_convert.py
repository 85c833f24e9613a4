from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image

from airflow_provider_yandex_vision.images import convert
from airflow_provider_yandex_vision.images.convert import to_accepted
from airflow_provider_yandex_vision.search.decoding import decoding
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import Image as VisionImage
from airflow_provider_yandex_vision.vision.errors import ImageRejectedError, ImageUnreadableError
from tests.images.conftest import prepare

RED = (200, 30, 40)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def reddish(pixel: Any) -> bool:
    return all(abs(got - wanted) < 25 for got, wanted in zip(pixel, RED, strict=True))


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP", "GIF"])
def test_unsupported_formats_become_jpeg(kind: str) -> None:
    converted = decoded(to_accepted(encoded(Image.new("RGB", (40, 30), RED), kind), Settings()))
    assert (converted.format, converted.size) == ("JPEG", (40, 30))
    assert reddish(converted.getpixel((20, 15)))


def test_first_frame_of_a_gif_is_used() -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in (RED, (0, 0, 255))]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert reddish(decoded(to_accepted(gif, Settings())).getpixel((20, 15)))


def test_cmyk_becomes_rgb() -> None:
    converted = decoded(to_accepted(encoded(Image.new("CMYK", (40, 30), (0, 255, 255, 0)), "JPEG"), Settings()))
    assert converted.mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_values_are_scaled_not_clipped(kind: str) -> None:
    converted = decoded(to_accepted(encoded(Image.new("I;16", (40, 30), 32768), kind), Settings()))
    grey: Any = converted.getpixel((20, 15))
    assert converted.format == "JPEG"
    assert abs(grey[0] - 128) < 4


def test_exif_orientation_is_applied() -> None:
    lying = Image.new("RGB", (40, 30), RED)
    exif = lying.getexif()
    exif[0x0112] = 6
    assert decoded(to_accepted(encoded(lying, "TIFF", exif=exif), Settings())).size == (30, 40)


def test_transparency_becomes_white() -> None:
    converted = decoded(to_accepted(encoded(Image.new("RGBA", (40, 30), (0, 0, 0, 0)), "WEBP"), Settings()))
    assert converted.getpixel((20, 15)) == (255, 255, 255)


def test_images_over_max_pixels_are_scaled_down() -> None:
    converted = decoded(
        to_accepted(encoded(Image.new("RGB", (4000, 3000), RED), "PNG"), Settings(max_pixels=1_000_000))
    )
    assert 0.9e6 < converted.width * converted.height <= 1_000_000
    assert converted.width / converted.height == pytest.approx(4 / 3, rel=0.01)


@pytest.mark.parametrize(
    ("size", "settings", "fitting"),
    [((1, 20_000), Settings(max_pixels=5_000), (1, 5_000)), ((70_000, 140), Settings(), (65_500, 131))],
    ids=["more pixels than allowed in one column", "longer than JPEG can be"],
)
def test_thin_images_are_scaled_down_until_they_fit(
    size: tuple[int, int], settings: Settings, fitting: tuple[int, int]
) -> None:
    thin = encoded(Image.new("1", size), "TIFF", compression="group4")
    assert decoded(to_accepted(thin, settings)).size == fitting


def test_images_over_max_image_bytes_are_scaled_down() -> None:
    noise = Image.effect_noise((1200, 900), 90).convert("RGB")
    converted = to_accepted(encoded(noise, "PNG"), Settings(max_image_bytes=60_000))
    assert len(converted) <= 60_000
    assert decoded(converted).format == "JPEG"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_accepted_images_are_unchanged(kind: str) -> None:
    content = encoded(Image.new("RGB", (40, 30), RED), kind)
    assert to_accepted(content, Settings()) is content


def test_decompression_bomb_is_rejected() -> None:
    bomb = encoded(Image.new("1", (10_000, 10_001)), "PNG")
    with pytest.raises(ImageRejectedError, match="decompression bomb"):
        to_accepted(bomb, Settings())


def test_broken_image_is_rejected() -> None:
    webp = encoded(Image.effect_noise((100, 100), 90).convert("RGB"), "WEBP")
    with pytest.raises(ImageRejectedError, match="broken"):
        to_accepted(webp[: len(webp) // 2], Settings())


def test_text_is_left_to_the_check_of_the_type() -> None:
    with pytest.raises(ImageRejectedError, match="not an image"):
        prepare(VisionImage("memory://a", lambda: b"text"), convert=to_accepted)


def test_hash_and_size_are_those_of_the_original_bytes() -> None:
    webp = encoded(Image.new("RGB", (40, 30), RED), "WEBP")
    prepared = prepare(VisionImage("memory://a", lambda: webp, len(webp), "v1"), convert=to_accepted)
    assert prepared.mime_type == "image/jpeg"
    assert (prepared.size, prepared.sha256) == (len(webp), hashlib.sha256(webp).hexdigest())


def test_without_conversion_the_reason_names_the_option() -> None:
    webp = encoded(Image.new("RGB", (40, 30), RED), "WEBP")
    with pytest.raises(ImageRejectedError, match="convert_images=True"):
        prepare(VisionImage("memory://a", lambda: webp))


def test_file_too_large_for_memory_is_not_read_to_be_converted() -> None:
    def read() -> bytes:
        raise AssertionError("it was read")

    with pytest.raises(ImageRejectedError, match="more than max_image_bytes"):
        prepare(VisionImage("memory://a", read, 200_000_000), convert=to_accepted)


class Decoding:
    """Counts what is decoded at once, and gives the others a moment to join."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = self._now = 0
        self._lock = threading.Lock()
        monkeypatch.setattr(convert, "flatten", self.flatten)

    def flatten(self, image: Image.Image) -> Image.Image:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.05)
        with self._lock:
            self._now -= 1
        return Image.new("RGB", (4, 3))


@pytest.mark.parametrize(("width", "at_once"), [(10_000, 1), (4_000, 4)])
def test_memory_of_decoded_pixels_is_bounded(width: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Decoding(monkeypatch)
    tiff = encoded(Image.new("1", (width, 2_500)), "TIFF", compression="group4")
    with ThreadPoolExecutor(8) as workers:
        assert len(list(workers.map(lambda _: to_accepted(tiff, Settings()), range(8)))) == 8
    assert 1 <= seen.most <= at_once


def test_missing_memory_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: Image.Image) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(convert, "flatten", fail)
    webp = encoded(Image.new("RGB", (40, 30), RED), "WEBP")
    with pytest.raises(ImageUnreadableError, match="not enough memory"):
        prepare(VisionImage("memory://a", lambda: webp), convert=to_accepted)
    assert decoding.pixels == 0


@pytest.mark.integration
def test_decoded_images_leave_little_memory_with_their_threads() -> None:
    program = """
import io, threading
from PIL import Image
from airflow_provider_yandex_vision.images.convert import to_accepted
from airflow_provider_yandex_vision.search.settings import Settings

file, end = io.BytesIO(), threading.Event()
Image.new("1", (5000, 5000)).save(file, "TIFF", compression="group4")

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

def work(done):
    to_accepted(file.getvalue(), Settings())
    done.set()
    end.wait()

before = 0
for number in range(5):
    done = threading.Event()
    threading.Thread(target=work, args=[done], daemon=True).start()
    done.wait()
    before = before or resident()
print(resident() - before)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120)
    decoded_four_times = 4 * 25_000_000 * 8
    assert int(ended.stdout) < decoded_four_times / 2
