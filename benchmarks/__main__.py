"""``python -m benchmarks search`` prints the figures of one subject; ``--help`` after it explains more."""

from __future__ import annotations

import os
import sys
from importlib import import_module

SUBJECTS = (
    "search",
    "tables",
    "skip",
    "kills",
    "overhead",
    "workers",
    "reading",
    "imports",
    "copies",
    "page",
    "findings",
    "fire",
    "endurance",
    "quota",
    "cost",
    "claims",
    "hunt",
)


# Set before Airflow is imported, or its log would appear between the tables' lines.
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in SUBJECTS:
        sys.exit(f"usage: python -m benchmarks {{{','.join(SUBJECTS)}}} [options]")
    import_module(f"benchmarks.{sys.argv.pop(1)}").main()


if __name__ == "__main__":
    main()
