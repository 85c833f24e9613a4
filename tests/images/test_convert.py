from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from airflow_provider_yandex_vision.images.convert import to_accepted
from airflow_provider_yandex_vision.vision import Image as VisionImage
from airflow_provider_yandex_vision.vision import ImageRejectedError, Limits
from airflow_provider_yandex_vision.search.prepare import prepare_image

RED = (200, 30, 40)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def decoded(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def reddish(pixel: Any) -> bool:
    return all(abs(got - wanted) < 25 for got, wanted in zip(pixel, RED, strict=True))


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP", "GIF"])
def test_a_format_that_the_service_does_not_take_becomes_jpeg(kind: str) -> None:
    converted = decoded(to_accepted(encoded(Image.new("RGB", (40, 30), RED), kind), Limits()))
    assert (converted.format, converted.size) == ("JPEG", (40, 30))
    assert reddish(converted.getpixel((20, 15)))


def test_of_a_gif_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in (RED, (0, 0, 255))]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert reddish(decoded(to_accepted(gif, Limits())).getpixel((20, 15)))


def test_cmyk_becomes_rgb() -> None:
    converted = decoded(to_accepted(encoded(Image.new("CMYK", (40, 30), (0, 255, 255, 0)), "JPEG"), Limits()))
    assert converted.mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_scaled_and_not_cut_off(kind: str) -> None:
    converted = decoded(to_accepted(encoded(Image.new("I;16", (40, 30), 32768), kind), Limits()))
    grey: Any = converted.getpixel((20, 15))
    assert converted.format == "JPEG"
    assert abs(grey[0] - 128) < 4


def test_the_exif_orientation_is_applied() -> None:
    lying = Image.new("RGB", (40, 30), RED)
    exif = lying.getexif()
    exif[0x0112] = 6
    assert decoded(to_accepted(encoded(lying, "TIFF", exif=exif), Limits())).size == (30, 40)


def test_transparency_becomes_white() -> None:
    converted = decoded(to_accepted(encoded(Image.new("RGBA", (40, 30), (0, 0, 0, 0)), "WEBP"), Limits()))
    assert converted.getpixel((20, 15)) == (255, 255, 255)


def test_too_many_pixels_are_scaled_down_until_they_fit() -> None:
    converted = decoded(to_accepted(encoded(Image.new("RGB", (4000, 3000), RED), "PNG"), Limits(max_pixels=1_000_000)))
    assert 0.9e6 < converted.width * converted.height <= 1_000_000
    assert converted.width / converted.height == pytest.approx(4 / 3, rel=0.01)


@pytest.mark.parametrize(
    ("size", "limits", "fitting"),
    [((1, 20_000), Limits(max_pixels=5_000), (1, 5_000)), ((70_000, 140), Limits(), (65_500, 131))],
    ids=["more pixels than allowed in one column", "longer than JPEG can be"],
)
def test_a_thin_picture_is_scaled_down_until_it_fits(
    size: tuple[int, int], limits: Limits, fitting: tuple[int, int]
) -> None:
    thin = encoded(Image.new("1", size), "TIFF", compression="group4")
    assert decoded(to_accepted(thin, limits)).size == fitting


def test_too_many_bytes_are_scaled_down_until_they_fit() -> None:
    noise = Image.effect_noise((1200, 900), 90).convert("RGB")
    converted = to_accepted(encoded(noise, "PNG"), Limits(max_image_bytes=60_000))
    assert len(converted) <= 60_000
    assert decoded(converted).format == "JPEG"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_the_service_takes_stays_as_it_is(kind: str) -> None:
    content = encoded(Image.new("RGB", (40, 30), RED), kind)
    assert to_accepted(content, Limits()) is content


def test_a_decompression_bomb_is_refused() -> None:
    bomb = encoded(Image.new("1", (10_000, 10_001)), "PNG")
    with pytest.raises(ImageRejectedError, match="decompression bomb"):
        to_accepted(bomb, Limits())


def test_a_broken_picture_is_rejected() -> None:
    webp = encoded(Image.effect_noise((100, 100), 90).convert("RGB"), "WEBP")
    with pytest.raises(ImageRejectedError, match="broken"):
        to_accepted(webp[: len(webp) // 2], Limits())


def test_what_is_no_picture_is_left_to_the_checks() -> None:
    with pytest.raises(ImageRejectedError, match="not an image"):
        prepare_image(VisionImage("memory://a", lambda: b"text"), Limits(), to_accepted)


def test_identity_and_hash_stay_those_of_the_original_bytes() -> None:
    import hashlib

    webp = encoded(Image.new("RGB", (40, 30), RED), "WEBP")
    checked = prepare_image(VisionImage("memory://a", lambda: webp, len(webp), "v1"), Limits(), to_accepted)
    assert checked.mime_type == "image/jpeg"
    assert (checked.size, checked.sha256) == (len(webp), hashlib.sha256(webp).hexdigest())


def test_without_it_the_reason_names_the_option() -> None:
    webp = encoded(Image.new("RGB", (40, 30), RED), "WEBP")
    with pytest.raises(ImageRejectedError, match="convert_images=True"):
        prepare_image(VisionImage("memory://a", lambda: webp), Limits())


def test_a_file_too_large_to_hold_is_not_read_even_to_be_converted(tmp_path: Path) -> None:
    def read() -> bytes:
        raise AssertionError("it was read")

    with pytest.raises(ImageRejectedError, match="more than max_image_bytes"):
        prepare_image(VisionImage("memory://a", read, 200_000_000), Limits(), to_accepted)
