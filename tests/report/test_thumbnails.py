from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from airflow_provider_yandex_vision.report.finding import Finding
from airflow_provider_yandex_vision.report.thumbnails import MAX_BYTES, SIDE, Thumbnails, thumbnail
from tests.report.samples import finding, picture
from tests.support.hostile import FORGERY, forges


def size(content: bytes) -> tuple[int, int]:
    with Pillow.open(BytesIO(content)) as image:
        assert image.format == "JPEG"
        return image.width, image.height


@pytest.mark.parametrize(
    "content",
    [
        picture(2000, 1000),
        picture(600, 1200, kind="PNG", mode="RGBA"),
        picture(kind="PNG", mode="I;16"),
        picture(kind="PNG", mode="P"),
        picture(mode="CMYK"),
        picture(kind="WEBP"),
        picture(kind="TIFF"),
        picture(kind="GIF", mode="L"),
        picture(9000, 3, kind="BMP"),
    ],
    ids=["JPEG", "transparent PNG", "16 bits", "palette", "CMYK", "WebP", "TIFF", "GIF", "thin BMP"],
)
def test_thumbnail_is_small(content: bytes) -> None:
    small = thumbnail(content)
    assert len(small) <= MAX_BYTES
    assert max(size(small)) <= SIDE


def test_small_picture_is_not_enlarged() -> None:
    assert size(thumbnail(picture(40, 30))) == (40, 30)


def test_noise_fits_too() -> None:
    content = BytesIO()
    Pillow.effect_noise((1000, 1000), 255).convert("RGB").save(content, "PNG")
    assert len(thumbnail(content.getvalue())) <= MAX_BYTES


def test_picture_is_upright() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # rotated by a quarter
    assert size(thumbnail(picture(400, 100, exif=exif))) == (70, 280)


def test_transparency_is_white() -> None:
    content = BytesIO()
    Pillow.new("RGBA", (50, 50), (0, 0, 0, 0)).save(content, "PNG")
    with Pillow.open(BytesIO(thumbnail(content.getvalue()))) as image:
        assert image.getpixel((25, 25)) == (255, 255, 255)


class Storage:
    """Pictures by URI; an exception in place of a picture is raised.

    :param broken: URIs whose storage cannot be opened.
    """

    def __init__(self, contents: dict[str, bytes | Exception], broken: tuple[str, ...] = ()) -> None:
        self.contents = contents
        self.broken = broken
        self.reads: list[str] = []

    def open(self, finding: Finding) -> Callable[[], bytes]:
        assert threading.current_thread() is threading.main_thread()
        if finding.image_uri in self.broken:
            raise ValueError(f"no connection for {finding.image_uri}")

        def read() -> bytes:
            self.reads.append(finding.image_uri)
            content = self.contents[finding.image_uri]
            if isinstance(content, Exception):
                raise content
            return content

        return read


def findings(*uris: str) -> list[Finding]:
    return [finding(number, image_uri=uri) for number, uri in enumerate(uris)]


def test_every_picture_is_read_once(tmp_path: Path) -> None:
    storage = Storage({f"m://{number}": picture() for number in range(40)})
    thumbnails = Thumbnails(tmp_path, storage.open)
    shown = findings(*(f"m://{number % 40}" for number in range(100)))
    thumbnails.make(shown[:30])
    thumbnails.make(shown)
    assert sorted(storage.reads) == sorted(storage.contents)
    assert len(list(tmp_path.iterdir())) == 40
    assert {str(thumbnails.data_url(each))[:23] for each in shown} == {"data:image/jpeg;base64,"}


@pytest.mark.parametrize(
    "content",
    [FileNotFoundError(FORGERY), PermissionError("no"), b"", b"text", picture()[:900], MemoryError()],
    ids=repr,
)
def test_bad_picture_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: Any) -> None:
    thumbnails = Thumbnails(tmp_path, Storage({"m://bad": content, "m://good": picture()}).open)
    bad, good = findings("m://bad", "m://good")
    thumbnails.make([bad, good])
    assert thumbnails.data_url(bad) is None
    assert thumbnails.data_url(good)
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith("No thumbnail of m://bad: ")
    assert not forges(line)


def test_storage_that_cannot_be_opened_costs_only_its_pictures(tmp_path: Path) -> None:
    storage = Storage({"m://good": picture()}, broken=("s3://bad",))
    thumbnails = Thumbnails(tmp_path, storage.open)
    bad, good = findings("s3://bad", "m://good")
    thumbnails.make([bad, good])
    assert (thumbnails.file(bad), thumbnails.file(good) is None) == (None, False)


def test_log_names_a_few_problems_and_counts_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = Storage({f"m://{number}": b"text" for number in range(25)})
    Thumbnails(tmp_path, storage.open).make(findings(*storage.contents))
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 6
    assert warnings[-1] == "… and no thumbnail of 20 more pictures"


def test_log_shows_the_progress_every_few_seconds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    caplog.handler.setLevel(logging.INFO)
    storage = Storage({f"m://{number}": picture(32, 32) for number in range(10)})
    seconds = iter(range(0, 1000, 2))
    Thumbnails(tmp_path, storage.open, clock=lambda: float(next(seconds))).make(findings(*storage.contents))
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Thumbnails:")]
    assert lines
    assert lines[0] == "Thumbnails: 3 of 10"
    assert len(lines) < 5


def test_decompression_bomb_is_not_decoded(tmp_path: Path) -> None:
    bomb = (Path(__file__).parents[1] / "corpus" / "conversion" / "bomb.png").read_bytes()
    [shown] = findings("m://bomb")
    thumbnails = Thumbnails(tmp_path, Storage({"m://bomb": bomb}).open)
    thumbnails.make([shown])
    assert thumbnails.file(shown) is None
