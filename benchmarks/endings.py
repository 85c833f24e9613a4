"""Faults that do not pass: after how many requests a run ends, and whether any row is untrue by then."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from threading import Timer

from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import ApiKey, VisionClient
from airflow_provider_yandex_vision.vision.errors import YandexVisionError
from tests.support.faults import break_result, refuse, refuse_all
from tests.support.faulty_service import Fault, FaultyService, burning, is_true, truth_about
from tests.support.pictures import images
from tests.support.secrets import API_KEY

IMAGES = 1_600
SECONDS = 60.0
HEADINGS = ("fault that stays", "after", "ends", "attempts", "false rows", "failed", "blames the key", "s", "")


@dataclass(frozen=True)
class Case:
    """
    :param after: images answered before.
    :param ends: whether the run must end with an error.
    :param key: whether the error may speak of the key.
    """

    name: str
    fault: Fault
    after: int
    ends: bool = True
    key: bool = False


CASES = (
    Case("400", partial(refuse, status=400), 0),
    Case("400", partial(refuse, status=400), 400),
    Case("401", partial(refuse, status=401), 0, key=True),
    Case("404", partial(refuse, status=404), 0),
    Case("409", partial(refuse, status=409), 0),
    Case("503", partial(refuse, status=503), 400),
    Case("quota used up in results", partial(refuse_all, code=8), 400),
    Case("PERMISSION_DENIED in results", partial(refuse_all, code=7), 0, key=True),
    Case("UNAUTHENTICATED in results", partial(refuse_all, code=16), 0, key=True),
    Case("one broken result in each reply", break_result, 0, ends=False),
)


def report(settings: Settings, window: int, timeout: float) -> bool:
    """:return: whether each run ended as it must, without a false row."""
    print()
    _print(*HEADINGS)
    settings = replace(settings, max_retry_seconds=5.0)
    good = [_row(case, partial(_search, case, settings, window, timeout)) for case in CASES]
    return all(good)


def _search(case: Case, settings: Settings, window: int, timeout: float, rows: Counter[str]) -> tuple[int, str]:
    """:return: requests, and the error that ended the run."""
    service = FaultyService({case.name: case.fault}, share=1.0, patience=2 * timeout, after=case.after)
    with burning(service) as url:
        client = VisionClient(ApiKey(API_KEY), host=url, timeout=timeout, connect_timeout=timeout, connections=window)
        search = CopySearch(client, images(IMAGES), settings)
        limit = Timer(SECONDS, search.close)
        limit.start()
        error = ""
        try:
            for result in search:
                truth = truth_about(result.sha256 or "0")
                rows["failed"] += result.status == "failed" != truth.status
                rows["false"] += result.status != "failed" and not is_true(result)
        except YandexVisionError as ended:
            error = str(ended) or type(ended).__name__
        limit.cancel()
    return search.counts.requests, error


def _row(case: Case, run: Callable[[Counter[str]], tuple[int, str]]) -> bool:
    rows: Counter[str] = Counter()
    started = time.monotonic()
    attempts, error = run(rows)
    seconds = time.monotonic() - started
    blames = "key" in error.lower()
    good = bool(error) == case.ends and not rows["false"] and (case.key or not blames) and seconds < SECONDS
    cells = [case.after, "yes" if error else "no", attempts, rows["false"], rows["failed"], "yes" if blames else "no"]
    _print(case.name, *map(str, cells), f"{seconds:.1f}", "ok" if good else "MISSED")
    return good


def _print(what: str, *cells: str) -> None:
    print(what.ljust(33), *(cell.rjust(12) for cell in cells), flush=True)
