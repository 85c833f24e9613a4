"""A task that is killed at random moments and resumed each time: what is lost, and what is paid for twice."""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import tempfile
from pathlib import Path

from airflow_provider_yandex_vision.emulator.server import running
from tests.support.counting import CountingService
from tests.support.killing import PAID_TWICE_FOR_A_KILL, attempt, make_many


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--images", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report(Path(folder), options.kills, options.images)


def report(folder: Path, wanted_kills: int, images: int) -> None:
    make_many(folder / "many", images)
    os.environ["AIRFLOW_CONN_RESULTS_DB"] = json.dumps({"conn_type": "sqlite", "host": str(folder / "results.db")})
    dice, service, kills = random.Random(1), CountingService(latency=0.02), 0
    with running(service) as url:

        def kill_after() -> int | None:
            return dice.randint(1, images // wanted_kills) if kills < wanted_kills else None

        while not attempt(folder / "many", url, service, kill_after()):
            kills += 1
    with sqlite3.connect(folder / "results.db") as database:
        rows, distinct = database.execute("SELECT count(*), count(DISTINCT image_id) FROM copies").fetchone()
    paid_twice = service.images_billed - len(service.billed)
    print(f"images {images:,}  kills {kills}  rows {rows:,}  distinct {distinct:,}  lost {images - distinct:,}")
    print(f"paid twice {paid_twice:,}, per kill {paid_twice / max(kills, 1):.1f} (at most {PAID_TWICE_FOR_A_KILL})")


if __name__ == "__main__":
    main()
