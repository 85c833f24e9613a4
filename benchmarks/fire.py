"""A service and a network that fail in every known way: what is lost, and what is paid for twice.

Each fault alone, then all of them together, then faults that do not pass: ``python -m benchmarks fire``. A row is true
if its status, count and pages are the service's answer for that very image. An image is paid twice if its reply was
lost on the way. It is delivered twice, which would be a defect, if it was requested again although its answer had
arrived.
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

from airflow_provider_yandex_vision.search.pacing import Backoff
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import ApiKey, VisionClient
from airflow_provider_yandex_vision.vision.errors import YandexVisionError
from benchmarks import endings
from benchmarks.peers import UNPACED
from tests.support.faults import FAULTS, FAULTS_OF_ACCESS
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
    max_attempts=20,
    max_retry_after=0.2,
    backoff=Backoff(base=0.05, cap=1.0),
)
HEADINGS = ("fault", "injected", "images", "true rows", "lost", "paid 2x", "delivered 2x", "attempts", "answered", "s")


@dataclass(frozen=True)
class Outcome:
    """
    :param true: images whose row is the service's answer.
    :param lost: images without a row.
    :param attempts: requests that the client made.
    :param answered: requests that reached the service.
    """

    injected: int
    images: int
    true: int
    lost: int
    paid_twice: int
    delivered_twice: int
    attempts: int
    answered: int
    seconds: float

    @property
    def good(self) -> bool:
        return self.true == self.images and not self.lost and not self.delivered_twice


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks fire", description=__doc__)
    parser.add_argument("--images", type=int, default=800, help="per fault")
    parser.add_argument("--mixed", type=int, default=20_000, help="images of the run with all faults")
    parser.add_argument("--seconds", type=float, default=240.0, help="limit of a run")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable()  # failures are what is measured
    runs = [(name, {name: fault}, options.images) for name, fault in {**FAULTS, **FAULTS_OF_ACCESS}.items()]
    _print(*HEADINGS)
    good = True
    for name, faults, count in [*runs, ("all faults", FAULTS, options.mixed)]:
        outcome = burn(faults, count, options.seconds, options.seed)
        good &= outcome.good
        counts = [f"{value:,}" for value in list(vars(outcome).values())[:-1]]
        _print(name, *counts, f"{outcome.seconds:.1f}")
    good &= endings.report(SETTINGS, WINDOW, TIMEOUT)
    sys.exit(
        None
        if good
        else "a row is lost or untrue, an image was requested again after its answer, or a run did not end as it should"
    )


def burn(faults: Mapping[str, Fault], count: int, seconds: float, seed: int) -> Outcome:
    """Search with these faults, for so many seconds at most."""
    after = 2 * WINDOW * 8 if faults.keys() <= FAULTS_OF_ACCESS.keys() else 0
    service = FaultyService(faults, share=SHARE, patience=2 * TIMEOUT, seed=seed, after=after)
    rows: dict[str, bool] = {}
    started = time.monotonic()
    with burning(service) as url:
        client = VisionClient(ApiKey(API_KEY), host=url, timeout=TIMEOUT, connect_timeout=TIMEOUT, connections=WINDOW)
        search = CopySearch(client, images(count), SETTINGS)
        limit = Timer(seconds, search.close)
        limit.start()
        with suppress(YandexVisionError):  # the table shows it as lost rows
            for result in search:
                rows[result.uri] = is_true(result)
        limit.cancel()
        taken = time.monotonic() - started
    return Outcome(
        injected=service.injected.total(),
        images=count,
        true=sum(rows.values()),
        lost=count - len(rows),
        paid_twice=service.paid_twice,
        delivered_twice=service.delivered_twice,
        attempts=search.counts.requests,
        answered=sum(service.statistics()["requests"].values()),
        seconds=taken,
    )


def _print(what: str, *cells: str) -> None:
    print(what.ljust(max(map(len, FAULTS))), *(cell.rjust(12) for cell in cells), flush=True)


if __name__ == "__main__":
    main()
