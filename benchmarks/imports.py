"""What the package adds to DAG parsing: importing it and each example, compared with an empty DAG."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = 7
EXAMPLES = sorted((Path(__file__).parents[1] / "dags_examples").glob("*.py"))

EMPTY = """
from datetime import datetime
from airflow.sdk import DAG, Asset, BaseHook, BaseOperator, ObjectStoragePath, task
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
DAG("empty", schedule=None, start_date=datetime(2026, 1, 1))
"""

PROGRAM = """
import runpy, sys, time
exec(sys.argv[1])
started = time.perf_counter()
if sys.argv[2]:
    runpy.run_path(sys.argv[2])
else:
    import airflow_provider_yandex_vision.operators.copy_search
print("\\nseconds", time.perf_counter() - started)
"""


def main() -> None:
    print("Milliseconds added to a DAG that only imports Airflow's own parts:")
    print(f"{'import':<36}{'median':>8}{'min':>8}  goal <= 50")
    for name, path in [("the operator", ""), *((file.name, str(file)) for file in EXAMPLES)]:
        times = [measure(path) * 1000 for _ in range(ROUNDS)]
        print(f"{name:<36}{statistics.median(times):>8.0f}{min(times):>8.0f}")


def measure(path: str) -> float:
    done = subprocess.run([sys.executable, "-c", PROGRAM, EMPTY, path], capture_output=True, text=True, check=True)
    return float(done.stdout.rsplit("seconds", 1)[1])


if __name__ == "__main__":
    main()
