"""What is paid for, per distinct content and run: ``python -m benchmarks cost``.

Two runs at once, shards with duplicates, kills, and a retry after another run, on every database. Nothing is paid for
twice, except what was in flight or not committed when a process was killed. Runs that begin one after the other each
pay, as they should: the later one asks what is new.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.vision.models import utc_now
from benchmarks.report import AtMost, figure, show
from benchmarks.tasks import DATABASES, Task, environment, fresh_table
from tests.support.counting import CountingService
from tests.support.pictures import png

LATENCY = 0.05
PER_REQUEST = 8
UNCOMMITTED = 64
SHARDS = 4
COPIES = 4
KILLS = 5
SECONDS = 300.0


@dataclass(frozen=True)
class Scene:
    """A service that counts, and a task that searches a folder of images."""

    service: CountingService
    variables: Mapping[str, str]
    task: Task

    def run(self, *tasks: Task) -> None:
        """Run tasks at once, to their end."""
        processes = [task.start(self.variables) for task in tasks]
        for process in processes:
            process.join(SECONDS)
            if process.exitcode != 0:
                raise RuntimeError(f"a task ended with {process.exitcode}")

    def kill(self, task: Task, after: int) -> None:
        """Run a task, and kill it once it has paid for so many images more."""
        target = self.service.images_billed + after
        process = task.start(self.variables)
        while process.is_alive() and self.service.images_billed < target:
            time.sleep(0.002)
        process.kill()
        process.join()


class Played(NamedTuple):
    """:param runs: that pay for every content."""

    runs: int = 1
    kills: int = 0


def two_runs(scene: Scene, images: int) -> Played:
    began = utc_now()
    scene.run(*(replace(scene.task, dag=dag, began=began) for dag in ("one", "other")))
    return Played()


def shards(scene: Scene, images: int) -> Played:
    scene.run(*(replace(scene.task, map_index=shard, shards=SHARDS) for shard in range(SHARDS)))
    return Played()


def retry_after_another_run(scene: Scene, images: int) -> Played:
    scene.kill(scene.task, images * 3 // 4)
    scene.run(replace(scene.task, dag="other"))
    scene.run(scene.task)
    return Played(runs=2, kills=1)


def kills(scene: Scene, images: int) -> Played:
    for _ in range(KILLS):
        scene.kill(scene.task, images // (KILLS + 1))
    scene.run(scene.task)
    return Played(kills=KILLS)


CASES: dict[str, tuple[Callable[[Scene, int], Played], int]] = {
    "two runs at once": (two_runs, 1),
    f"{SHARDS} shards, each content {COPIES} times": (shards, COPIES),
    "killed, another run, retried": (retry_after_another_run, 1),
    f"killed {KILLS} times": (kills, 1),
}
"""Each with the number of files that have the same content."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks cost", description=__doc__)
    parser.add_argument("--images", type=int, default=4_000)
    parser.add_argument("--databases", nargs="*", choices=DATABASES, default=list(DATABASES))
    options = parser.parse_args()
    missed = False
    for database in options.databases:
        rows = [paid_per_content(name, database, options.images) for name in CASES]
        show(f"paid / distinct contents, {options.images:,} images, {database}", rows)
        missed |= any(row[-1] == "MISSED" for row in rows)
    sys.exit("a goal was missed" if missed else None)


def paid_per_content(name: str, database: str, images: int) -> list[str]:
    play, copies = CASES[name]
    service, contents = CountingService(LATENCY), images // copies
    with tempfile.TemporaryDirectory() as folder, running(service) as host:
        pictures = Path(folder, "pictures")
        pictures.mkdir()
        for number in range(contents * copies):
            (pictures / f"{number:06}.png").write_bytes(png(number % contents))
        with fresh_table(database, Path(folder)) as (url, table):
            scene = Scene(service, environment(host, url), Task(images=pictures, table=table))
            played = play(scene, images)
    due = contents * played.runs
    bound = 1 + played.kills * (scene.task.window * PER_REQUEST + UNCOMMITTED) / due
    return figure(name, service.images_billed / due, AtMost(round(bound, 3)), digits=3)


if __name__ == "__main__":
    main()
