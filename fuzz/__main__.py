"""Feed made-up bytes to the targets of fuzz/targets.py until time is up, and keep what broke a promise."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "tests" / "corpus"
TARGETS = sorted(folder.name for folder in CORPUS.iterdir())
OPTIONS = ("-max_len=5000", "-timeout=10", "-rss_limit_mb=512", "-print_final_stats=1")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", choices=TARGETS, help="all of them where none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    arguments = parser.parse_args()
    kept = [run(target, arguments.seconds) for target in ([arguments.target] if arguments.target else TARGETS)]
    sys.exit(not all(kept))


def run(target: str, seconds: int) -> bool:
    """Fuzz one target up to its first finding, and print what came of it.

    :return: whether it kept every promise.
    """
    findings = ROOT / ".fuzz" / target
    findings.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with TemporaryDirectory() as inputs:
        options = [inputs, str(CORPUS / target), f"-max_total_time={seconds}", f"-artifact_prefix={findings}/"]
        command = [sys.executable, "-m", "fuzz.one", target, *options, *OPTIONS]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
    taken = time.monotonic() - started
    executions = sum(map(int, re.findall(r"number_of_executed_units: (\d+)", done.stdout)))
    found = re.findall("Test unit written to (.+)", done.stdout)
    print(f"{target:<12}{executions:>12,} executions in {taken:.0f} s, findings: {len(found)}", flush=True)
    if done.returncode:
        print(f"{done.stdout[-3000:]}\nended with {done.returncode}")
    for path in found:
        print(f"{path}: mend the code, then move it to {CORPUS / target} under a name that says what it is")
    return not (done.returncode or found)


if __name__ == "__main__":
    main()
