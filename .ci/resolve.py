"""Check that every extra installs beside the official constraints of every supported release of Airflow.

``--pins`` writes constraints/airflow-*.txt, ``--lowest`` prints the lowest versions that pyproject.toml allows.
"""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
OFFICIAL = sorted((ROOT / "constraints" / "official").glob("airflow-*.txt"))
EXTRAS = ("", "amazon", "azure", "google", "mysql pillow postgres sqlite xlsx emulator demo", "dev")
"""Checked together where they share a line, to save time."""
PINNED = {"2.11": ("2.11.0", "3.10"), "3.0": ("3.0.6", "3.11"), "3.1": ("3.1.6", "3.11"), "3.2": ("3.2.2", "3.11")}
"""Release and lowest Python of each set of pins that is compiled with official constraints."""
NEWEST, NEWEST_PYTHON = "3.3", "3.10"
OVERRIDES = ROOT / "constraints" / "overrides.txt"


def compile_pins(release: str, python: str, *options: str) -> str:
    """Requirements, one per line. :raises SystemExit: there is no solution."""
    command = ["pip", "compile", "pyproject.toml", "-", "--quiet", "--no-annotate", "--no-header"]
    command += ["--python-version", python, "--override", str(OVERRIDES), *options]
    command += ["--no-emit-package", "airflow-provider-yandex-vision"]
    done = subprocess.run(
        [sys.executable, "-m", "uv", *command], cwd=ROOT, input=release, text=True, capture_output=True
    )
    if done.returncode:
        raise SystemExit(f"{release.strip()} {' '.join(options)}: {done.stderr}")
    return done.stdout


def resolve(official: Path, extras: str) -> str:
    match = re.fullmatch(r"airflow-(.+)-python(.+)\.txt", official.name)
    assert match
    options = [option for name in extras.split() for option in ("--extra", name)]
    compile_pins(f"apache-airflow=={match[1]}\n", match[2], "--constraint", str(official), *options)
    return f"Airflow {match[1]}, Python {match[2]}, {extras or 'no extra'}: resolves"


def write_pins() -> None:
    shared = ("--extra", "dev", "--universal", "--upgrade", "--generate-hashes")
    for line, (release, python) in PINNED.items():
        [official] = (ROOT / "constraints" / "official").glob(f"airflow-{release}-*.txt")
        pins = compile_pins(f"apache-airflow=={release}\n", python, "--constraint", str(official), *shared)
        (ROOT / "constraints" / f"airflow-{line}.txt").write_text(pins)
    pins = compile_pins(f"apache-airflow=={NEWEST}.*\n", NEWEST_PYTHON, "--extra", "lint", *shared)
    (ROOT / "constraints" / f"airflow-{NEWEST}.txt").write_text(pins)


def main() -> None:
    if "--pins" in sys.argv:
        write_pins()
    elif "--lowest" in sys.argv:
        sys.stdout.write(compile_pins("", "3.10", "--extra", "dev", "--resolution", "lowest-direct"))
    else:
        with ThreadPoolExecutor(4) as pool:
            jobs = [(official, extras) for official in OFFICIAL for extras in EXTRAS]
            for line in pool.map(lambda job: resolve(*job), jobs):
                sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
