"""How full requests are if many images need none: duplicates and bad files, read slowly."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import ApiKey, Image, VisionClient
from benchmarks.peers import UNPACED
from benchmarks.pictures import picture
from benchmarks.processes import alone, service
from benchmarks.report import AtLeast, AtMost, figure, show
from benchmarks.service import Behaviour

DUPLICATES = 0.3
BAD_FILES = 0.05
READ_SECONDS = 0.04
IMAGE_BYTES = 2_000


def report(files: int) -> None:
    with service(Behaviour(latency=0.1)) as served:
        distinct = alone(search, served.host, files)
        statistics = served.statistics()
    show(
        f"{files:,} files: {DUPLICATES:.0%} duplicates, {BAD_FILES:.0%} bad, {READ_SECONDS * 1000:.0f} ms per read",
        [
            figure("images per request", statistics.images / statistics.requests, AtLeast(7.9), digits=2),
            figure("images searched twice", statistics.images - distinct, AtMost(0), digits=0),
        ],
    )


def search(host: str, files: int) -> int:
    """:return: number of distinct good images."""
    chance = random.Random(1)
    images: list[Image] = []
    distinct: list[int] = []
    for number in range(files):
        kind = chance.random()
        if kind < BAD_FILES:
            images.append(Image(f"file:///{number}", _read_of(b"no picture")))
            continue
        if kind < BAD_FILES + DUPLICATES and distinct:
            content = chance.choice(distinct)
        else:
            content = number
            distinct.append(number)
        images.append(Image(f"file:///{number}", _read_of(picture(content, IMAGE_BYTES))))
    search = CopySearch(VisionClient(ApiKey("benchmark"), host=host), images, Settings(requests_per_second=UNPACED))
    statuses = [result.status for results in search.batches() for result in results]
    assert len(statuses) == files
    assert set(statuses) == {"found", "rejected"}
    return len(distinct)


def _read_of(content: bytes) -> Callable[[], bytes]:
    def read() -> bytes:
        time.sleep(READ_SECONDS)
        return content

    return read
