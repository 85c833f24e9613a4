"""Reading from a store that takes 100 ms per object: 16 readers compared with one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import Image
from tests.support.fake_service import FakeService
from tests.support.pictures import png

LATENCY = 0.1
ROUNDS = 3


def images(count: int) -> Iterator[Image]:
    def read(number: int) -> bytes:
        time.sleep(LATENCY)
        return png(number)

    return (Image(f"memory://{number}", lambda number=number: read(number)) for number in range(count))  # type: ignore[misc]


def images_per_second(readers: int, count: int) -> float:
    started = time.perf_counter()
    settings = Settings(requests_per_second=1e6, max_concurrent_reads=readers)
    searched = sum(1 for _ in CopySearch(FakeService(), images(count), settings))
    return searched / (time.perf_counter() - started)


def main() -> None:
    ratios = []
    print(f"{'readers':>8}{'images/s':>10}")
    for _ in range(ROUNDS):
        one, sixteen = images_per_second(1, 40), images_per_second(16, 640)
        ratios.append(sixteen / one)
        print(f"{1:>8}{one:>10.1f}\n{16:>8}{sixteen:>10.1f}")
    print(f"16 readers compared with one: {statistics.median(ratios):.1f}x, goal >= 12x")


if __name__ == "__main__":
    main()
