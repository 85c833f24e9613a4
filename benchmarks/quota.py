"""How much of a quota is used, and how many requests are throttled for it: ``python -m benchmarks quota``.

First by clients that do not know of each other, then by tasks that share a table.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import ApiKey, Image, VisionClient
from benchmarks.pictures import picture
from benchmarks.processes import alone, service
from benchmarks.report import AtLeast, AtMost, figure, show
from benchmarks.service import Behaviour

QUOTA = 10.0
"""Requests per second."""

IMAGE_BYTES = 2_000


@dataclass(frozen=True)
class Case:
    """Clients that share the quota, and what is expected of them.

    :param configured: requests per second of each process.
    :param use: least share of the quota used, in percent.
    :param throttled: greatest share of the requests throttled, in percent.
    :param burst: seconds' worth of the quota that the service takes at once.
    """

    name: str
    configured: float
    processes: int
    use: float
    throttled: float
    burst: float = 1.0


CASES = (
    Case("configured correctly", QUOTA, 1, use=95, throttled=0.5),
    Case("configured five times too high", QUOTA * 5, 1, use=90, throttled=5),
    Case("shared by four independent processes", QUOTA, 4, use=90, throttled=8),
    Case("bursts of 0.2 s, five times too high", QUOTA * 5, 1, use=95, throttled=5, burst=0.2),
    Case("bursts of 0.2 s, four independent processes", QUOTA, 4, use=90, throttled=5, burst=0.2),
)


def main() -> None:
    # Late: the processes of the other cases import this module, and need no Airflow.
    from benchmarks import sharing
    from benchmarks.tasks import DATABASES

    parser = argparse.ArgumentParser(prog="python -m benchmarks quota", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="duration of each run")
    parser.add_argument("--database", choices=DATABASES, default="PostgreSQL")
    options = parser.parse_args()
    report(options.seconds)
    sharing.report(options.seconds, options.database)


def report(seconds: float) -> None:
    with ThreadPoolExecutor() as pool:
        rows = [row for rows in pool.map(_rows, CASES, [seconds] * len(CASES)) for row in rows]
    show(f"a quota of {QUOTA:g} requests/s for {seconds:g} s", rows)


def _rows(case: Case, seconds: float) -> list[list[str]]:
    with (
        service(Behaviour(latency=0.1, quota=QUOTA, burst=case.burst)) as served,
        ThreadPoolExecutor(case.processes) as pool,
    ):
        runs = [pool.submit(alone, search, served.host, case.configured, n, seconds) for n in range(case.processes)]
        for run in runs:
            run.result()
        statistics = served.statistics()
    used = statistics.accepted / (QUOTA * statistics.seconds) * 100
    throttled = statistics.throttled / statistics.requests * 100
    return [
        figure(f"% used, {case.name}", used, AtLeast(case.use)),
        figure("  % of the requests throttled", throttled, AtMost(case.throttled)),
    ]


def search(host: str, requests_per_second: float, process: int, seconds: float) -> None:
    logging.disable()  # throttling is what is measured
    search = CopySearch(VisionClient(ApiKey("benchmark"), host=host), _images(process), Settings(requests_per_second))
    end = time.monotonic() + seconds
    for _ in search.batches():
        if time.monotonic() >= end:
            break


def _images(process: int) -> Iterator[Image]:
    """Endless, and distinct between processes."""
    for n in count(process << 32):
        yield Image(f"file:///{n}", lambda n=n: picture(n, IMAGE_BYTES), IMAGE_BYTES)  # type: ignore[misc]


if __name__ == "__main__":
    main()
