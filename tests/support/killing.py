"""A task that is killed during its search, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from tests.support.counting import CountingService
from tests.support.pictures import png
from tests.support.secrets import API_KEY

WINDOW = 4
PAID_TWICE_FOR_A_KILL = WINDOW * 8 + 64
"""At most: images in flight, and those whose results are not committed yet."""


def make_many(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:05}.png").write_bytes(png(number))


def search(folder: Path, url: str, **arguments: Any) -> dict[str, Any]:
    """One attempt of the task, in this process. :return: the summary."""
    os.environ["AIRFLOW_CONN_YANDEX_VISION_DEFAULT"] = json.dumps(
        {"conn_type": "yandex_vision", "password": API_KEY, "host": url}
    )
    operator = YandexVisionCopySearchOperator(
        task_id="search",
        images=f"file://{folder}/",
        table="copies",
        sql_conn_id="results_db",
        requests_per_second=1000,
        max_concurrent_requests=WINDOW,
        **arguments,
    )
    context: Any = {"ti": SimpleNamespace(dag_id="dag", run_id="run", task_id="search", map_index=-1)}
    return operator.execute(context)


def attempt(folder: Path, url: str, service: CountingService, kill_after: int | None, **arguments: Any) -> bool:
    """Run one attempt of the task in a child process.

    :param kill_after: kill it once the service has searched this many more images; None lets it finish.
    :return: whether it finished.
    """
    before = service.images_billed
    child = os.fork()
    if child == 0:
        try:
            search(folder, url, **arguments)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    done, status = os.waitpid(child, 0 if kill_after is None else os.WNOHANG)
    while not done:
        if service.images_billed - before >= (kill_after or 0):
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
        done, status = os.waitpid(child, os.WNOHANG)
    assert status in (0, signal.SIGKILL), status
    return status == 0
