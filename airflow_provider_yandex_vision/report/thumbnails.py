"""Small JPEGs of the owner's pictures. Needs the extra ``pillow``."""

from __future__ import annotations

import hashlib
import io
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from airflow_provider_yandex_vision.report.finding import Finding
from airflow_provider_yandex_vision.search.decoding import FORMATS, MAX_DECODED_PIXELS, decoding, flatten
from airflow_provider_yandex_vision.search.workers import Workers
from airflow_provider_yandex_vision.vision.errors import printable

if TYPE_CHECKING:
    from PIL import Image as Pillow

log = logging.getLogger(__name__)

SIDE = 280
MAX_BYTES = 20_000
QUALITIES = (76, 60, 45, 30, 15)

PARALLEL_READS = 10
SECONDS_BETWEEN_LINES = 5.0
SHOWN_PROBLEMS = 5

Open: TypeAlias = "Callable[[Finding], Callable[[], bytes]]"
"""Takes a finding in the main thread, and returns what reads its picture in another."""

Clock: TypeAlias = "Callable[[], float]"


class Thumbnails:
    """Files in a folder, one a picture, however many pages show it.

    :param folder: empty; the thumbnails of thousands of pictures need not fit into memory.
    :param open_picture: a picture that cannot be opened or read has no thumbnail, and costs nothing else.
    """

    def __init__(self, folder: Path, open_picture: Open, clock: Clock = time.monotonic) -> None:
        self._folder = folder
        self._open = open_picture
        self._clock = clock
        self._made: dict[str, Path | None] = {}

    def make(self, findings: Iterable[Finding]) -> None:
        """Make those that are missing, in parallel. The log shows the progress every few seconds."""
        todo = {finding.image_uri: finding for finding in findings if finding.image_uri not in self._made}
        outcomes: SimpleQueue[tuple[str, Path | None, str]] = SimpleQueue()
        waiting = iter(todo.values())
        problems: list[str] = []
        spoken = self._clock()
        with closing(Workers("thumbnail", PARALLEL_READS, outcomes)) as workers:
            for finding in islice(waiting, 2 * PARALLEL_READS):
                workers.submit(self._job(finding))
                workers.grow()
            for done in range(1, len(todo) + 1):
                uri, self._made[uri], problem = outcomes.get()
                problems += [problem] if problem else []
                for finding in islice(waiting, 1):
                    workers.submit(self._job(finding))
                if self._clock() - spoken >= SECONDS_BETWEEN_LINES:
                    spoken = self._clock()
                    log.info("Thumbnails: %s of %s", f"{done:,}", f"{len(todo):,}")
        _log_problems(problems)

    def file(self, finding: Finding) -> Path | None:
        """None if there is no picture to show."""
        return self._made.get(finding.image_uri)

    def data_url(self, finding: Finding) -> str | None:
        file = self.file(finding)
        return f"data:image/jpeg;base64,{b64encode(file.read_bytes()).decode()}" if file else None

    def _job(self, finding: Finding) -> Callable[[], tuple[str, Path | None, str]]:
        name = hashlib.sha256(finding.image_uri.encode("utf-8", "surrogatepass")).hexdigest()
        try:
            read = self._open(finding)
        except Exception as error:
            problem = _problem(finding.image_uri, error)
            return lambda: (finding.image_uri, None, problem)
        return partial(_make, finding.image_uri, read, self._folder / f"{name}.jpg")


def thumbnail(content: bytes) -> bytes:
    """A JPEG of at most 280 pixels a side and 20 KB.

    :raises Exception: the content is not a picture, broken, or a decompression bomb.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    with Pillow.open(io.BytesIO(content), formats=FORMATS) as image:
        if image.width * image.height > MAX_DECODED_PIXELS:
            raise ValueError(f"{image.width}x{image.height} pixels")
        image.draft("RGB", (SIDE, SIDE))  # a JPEG is decoded at a fraction of its size
        with decoding.reserved(image.width * image.height):
            shown = flatten(ImageOps.exif_transpose(image))
            shown.thumbnail((SIDE, SIDE))
    return _encode(shown)


def _make(uri: str, read: Callable[[], bytes], file: Path) -> tuple[str, Path | None, str]:
    try:
        file.write_bytes(thumbnail(read()))
    except Exception as error:  # of any kind: the file came from anywhere
        return uri, None, _problem(uri, error)
    return uri, file, ""


def _encode(image: Pillow.Image) -> bytes:
    for quality in QUALITIES:
        content = io.BytesIO()
        image.save(content, "JPEG", quality=quality, optimize=True)
        if content.tell() <= MAX_BYTES:
            break
    return content.getvalue()


def _problem(uri: str, error: Exception) -> str:
    return printable(f"{uri}: {type(error).__name__}: {error}"[:500])


def _log_problems(problems: list[str]) -> None:
    for problem in problems[:SHOWN_PROBLEMS]:
        log.warning("No thumbnail of %s", problem)
    if len(problems) > SHOWN_PROBLEMS:
        log.warning("… and no thumbnail of %s more pictures", f"{len(problems) - SHOWN_PROBLEMS:,}")
