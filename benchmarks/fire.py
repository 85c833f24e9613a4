"""A service, and a network, that fail in every way there is: what is lost, and what is paid for twice.

Each fault alone, then all of them together: ``python -m benchmarks fire``. A row is true when status, count and
pages are what the service knows of that very picture. Paid for twice is a picture whose answer was lost after the
service had given it; told twice, and so a defect, one that was asked for again although its answer had arrived.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Timer

from airflow_provider_yandex_vision.vision import CopySearch, RetryPolicy, Settings, VisionClient
from airflow_provider_yandex_vision.vision.errors import YandexVisionError
from airflow_provider_yandex_vision.search.pacing import Backoff
from benchmarks.peers import UNPACED
from tests.support.faults import FAULTS
from tests.support.faulty_service import Fault, FaultyService, burning, is_true
from tests.support.pictures import images
from tests.support.secrets import API_KEY

WINDOW = 16
TIMEOUT = 2.0
SHARE = 0.1
SETTINGS = Settings(
    requests_per_second=UNPACED,
    max_concurrent_requests=WINDOW,
    linger=0.05,
    retries=RetryPolicy(max_attempts=20, max_retry_after=0.2, backoff=Backoff(base=0.05, cap=1.0)),
)
HEADINGS = ("fault", "injected", "images", "true rows", "lost", "paid twice", "told twice", "attempts", "answered", "s")


@dataclass(frozen=True)
class Burnt:
    """One run.

    :param true: images whose row is the service's word on them.
    :param lost: images without a row.
    :param attempts: requests that the client made.
    :param answered: those that the service got to see, and answered.
    """

    injected: int
    images: int
    true: int
    lost: int
    paid_twice: int
    told_twice: int
    attempts: int
    answered: int
    seconds: float

    @property
    def good(self) -> bool:
        return self.true == self.images and not self.lost and not self.told_twice


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks fire", description=__doc__)
    parser.add_argument("--images", type=int, default=800, help="for each fault alone")
    parser.add_argument("--mixed", type=int, default=20_000, help="images for all faults together")
    parser.add_argument("--seconds", type=float, default=240.0, help="after which a run is ended")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable()  # the trouble is what is measured
    runs = [(name, {name: fault}, options.images) for name, fault in FAULTS.items()]
    _print(*HEADINGS)
    good = True
    for name, faults, count in [*runs, ("all of them", FAULTS, options.mixed)]:
        burnt = burn(faults, count, options.seconds, options.seed)
        good &= burnt.good
        counts = [f"{value:,}" for value in list(vars(burnt).values())[:-1]]
        _print(name, *counts, f"{burnt.seconds:.1f}")
    sys.exit(None if good else "a row is lost or untrue, or an answer that had arrived was asked for again")


def burn(faults: Mapping[str, Fault], count: int, seconds: float, seed: int) -> Burnt:
    """Search for so many images, for so many seconds at most."""
    service = FaultyService(faults, share=SHARE, patience=2 * TIMEOUT, seed=seed)
    rows: dict[str, bool] = {}
    started = time.monotonic()
    with burning(service) as url:
        client = VisionClient(API_KEY, host=url, timeout=TIMEOUT, connect_timeout=TIMEOUT, connections=WINDOW)
        search = CopySearch(client, images(count), SETTINGS)
        limit = Timer(seconds, search.close)
        limit.start()
        with suppress(YandexVisionError):  # what it cost is in the table: rows are missing
            for result in search:
                rows[result.uri] = is_true(result)
        limit.cancel()
        taken = time.monotonic() - started
    return Burnt(
        injected=service.injected.total(),
        images=count,
        true=sum(rows.values()),
        lost=count - len(rows),
        paid_twice=service.paid_twice,
        told_twice=service.told_twice,
        attempts=search.counts.requests,
        answered=sum(service.statistics()["requests"].values()),
        seconds=taken,
    )


def _print(what: str, *cells: str) -> None:
    print(what.ljust(max(map(len, FAULTS))), *(cell.rjust(10) for cell in cells), flush=True)


if __name__ == "__main__":
    main()
