"""``make demo``: the whole job in a real Airflow, its results as a table, and the report.

Everything is kept in ``.airflow/<release>/``, an Airflow home separate from yours.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import unicodedata
from collections.abc import Generator
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Releases of Airflow cannot share a database.
AIRFLOW = version("apache-airflow")
HOME = ROOT / ".airflow" / AIRFLOW
LOG = HOME / "demo.log"
RESULTS = HOME / "results.db"
REPORTS = HOME / "reports"
DAG = "yandex_vision_monitor"
TABLE = "picture_copies"
EMULATOR_KEY = "key-of-the-emulator"
OWN_SITES, PARTNERS = "lightbox.example", "daily-news.example"
"""Sites of ``demo/images.py``."""

QUERY = f"""
SELECT image.image_uri, image.status, image.copy_count, image.error_message, best.page_url, best.title
FROM {TABLE} image
LEFT JOIN {TABLE}_matches best
       ON best.image_id = image.image_id AND best.rank_no = 1 AND best.last_seen_at >= image.searched_at
WHERE image.image_uri LIKE ? || '%'
ORDER BY image.status = 'rejected', image.copy_count IS NULL, image.copy_count DESC, image.image_uri
"""

RETURNED = """
SELECT task_id, value FROM xcom WHERE key = 'return_value' AND dag_id = ? AND run_id = (
    SELECT run_id FROM xcom WHERE dag_id = ? AND task_id = 'search' ORDER BY timestamp DESC LIMIT 1
)
"""
"""What the tasks of the last run returned; a skipped one returns nothing."""


class DemoError(Exception):
    """Shown to the user without a traceback."""


def main() -> None:
    HOME.mkdir(parents=True, exist_ok=True)
    LOG.write_text("")
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have background jobs ignore it
    print(f"Airflow logs to {LOG.relative_to(ROOT)}")
    real_key = os.environ.get("YANDEX_VISION_API_KEY")
    with step("Images"):
        images = _images()
    with contextlib.ExitStack() as running:
        if real_key:
            print("Service        the real one, since YANDEX_VISION_API_KEY is set: searches are billed")
            connection = {"conn_type": "yandex_vision", "password": real_key}
        else:
            url = running.enter_context(emulator())
            connection = {"conn_type": "yandex_vision", "password": EMULATOR_KEY, "host": url}
        environment = airflow_environment(connection)
        with step("Airflow"):
            airflow("db", "migrate", environment=environment)
            # Airflow 3.0 refuses outlets whose assets it does not know yet.
            airflow("dags", "reserialize", environment=environment)
            print(f"apache-airflow {AIRFLOW} on SQLite, below {HOME.relative_to(ROOT)}/", end="", flush=True)
        with step("DAG run"):
            conf = {"images": images, "own_sites": OWN_SITES, "partners": PARTNERS, "reports": f"file://{REPORTS}"}
            # No mail is sent.
            arguments = ("--conf", json.dumps(conf), "--mark-success-pattern", "^mail$")
            airflow("dags", "test", DAG, *arguments, environment=environment)
            print(f"{DAG} succeeded", end="", flush=True)
    show(images)


@contextlib.contextmanager
def step(name: str) -> Generator[None]:
    print(f"{name:<15}", end="", flush=True)
    started = time.monotonic()
    yield
    print(f" ({time.monotonic() - started:.0f} s)", flush=True)


def airflow_environment(connection: dict[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags_examples"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME / 'airflow.db'}",
        "AIRFLOW_CONN_YANDEX_VISION_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_RESULTS_DB": json.dumps({"conn_type": "sqlite", "host": str(RESULTS)}),
    }


@contextlib.contextmanager
def emulator() -> Generator[str]:
    """Run the emulator in another process. :return: its URL."""
    print("Service        ", end="", flush=True)
    command = [sys.executable, "-m", "airflow_provider_yandex_vision.emulator"]
    command += ["--pages", str(HOME / "web"), "--port", "0", "--api-key", EMULATOR_KEY]
    with LOG.open("a") as log:
        process = subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        ready = process.stdout.readline().strip()
        if not ready:
            process.wait(timeout=10)
            raise DemoError(f"emulator failed to start: {_last_line()}")
        print(ready, flush=True)
        yield next(word.rstrip(",") for word in ready.split() if word.startswith("http://"))
    finally:
        process.terminate()
        process.wait(timeout=10)


def airflow(*arguments: str, environment: dict[str, str]) -> None:
    """Run Airflow with its output in the log. It is terminated if this process is.

    Some releases print the connection at debug level, so the key is removed here as well.
    """
    key = json.loads(environment["AIRFLOW_CONN_YANDEX_VISION_DEFAULT"])["password"].encode()
    command = [sys.executable, "-m", "airflow", *arguments]
    # Run in HOME: in ROOT, Python would import the checkout instead of what is installed.
    with (
        LOG.open("ab") as log,
        subprocess.Popen(
            command, cwd=HOME, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                log.write(line.replace(key, b"***"))
        except BaseException:
            process.terminate()
            process.wait(timeout=30)
            raise
    if process.returncode:
        raise DemoError(f"`airflow {' '.join(arguments[:2])}` failed: {_last_error()}")


def show(images: str) -> None:
    # URIs in the table have no connection id.
    prefix = re.sub("://[^@/]+@", "://", images.partition("*")[0])
    with contextlib.closing(sqlite3.connect(RESULTS)) as database:
        rows = database.execute(QUERY, (prefix,)).fetchall()
    table = [("IMAGE", "COPIES", "BEST PAGE", "TITLE")]
    for uri, status, copies, error, page, title in rows:
        name = uri.rpartition("/")[2]
        outcome = ("-", status, error) if copies is None else (str(copies), page or "-", title or "-")
        table.append((name, *outcome))
    print()
    for row in table:
        print("  ".join(fit(text, width) for text, width in zip(row, (18, 6, 46, 44), strict=True)).rstrip())
    print(f"\n{len(rows)} images; see {RESULTS.relative_to(ROOT)}, tables {TABLE} and {TABLE}_matches.")
    returned = _returned()
    print(_summary(returned["search"]))
    print(_report(returned.get("report")))


def fit(text: str, width: int) -> str:
    """Text padded or cut to a width in terminal columns, without control characters from the web."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    columns = sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)
    if columns > width:
        return fit(text[: -1 - (columns - width)], width - 1).rstrip() + "…"
    return text + " " * (width - columns)


def _images() -> str:
    images = HOME / "images"
    command = [sys.executable, str(ROOT / "demo" / "images.py"), "--images", str(images), "--web", str(HOME / "web")]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    yours = os.environ.get("IMAGES", "")
    print(yours or made.stdout.strip().splitlines()[-1], end="", flush=True)
    return yours if "://" in yours else _folder_url(Path(yours or images))


def _folder_url(path: Path) -> str:
    absolute = path.expanduser().resolve()
    return f"file://{absolute}/" if absolute.is_dir() else f"file://{absolute}"


def _last_error() -> str:
    errors = [line for line in LOG.read_text(errors="replace").splitlines() if "Error" in line or "Exception" in line]
    return f"{errors[-1].strip()[:300] if errors else 'no error in the log'}\nFull log: {LOG.relative_to(ROOT)}"


def _last_line() -> str:
    return (LOG.read_text(errors="replace").strip().splitlines() or ["no error in the log"])[-1]


def _returned() -> dict[str, Any]:
    """Results of the last run's tasks."""
    with contextlib.closing(sqlite3.connect(HOME / "airflow.db")) as database:
        values: dict[str, Any] = dict(database.execute(RETURNED, (DAG, DAG)).fetchall())
    for task, value in values.items():
        while isinstance(value, str | bytes) and value[:1] in ("{", '"', b"{", b'"'):
            value = json.loads(value)  # releases of Airflow differ in how often they encode it
        values[task] = value
    return values


def _summary(counts: dict[str, Any]) -> str:
    parts = [f"{counts[name]} {name}" for name in ("found", "none", "rejected", "failed", "skipped")]
    parts += [f"{counts['duplicates']} answered as duplicates", f"{counts['new_matches']} new matches"]
    return f"This run: {', '.join(parts)}; {counts['requests']} requests to the service."


def _report(report: dict[str, Any] | None) -> str:
    if report:
        return f"{report['text']}\nThe report: {report['html_url']}"
    latest = max(REPORTS.rglob("copies.html"), key=lambda page: page.stat().st_mtime, default=None)
    return "No new pages show your pictures." + (f"\nThe last report: {latest.as_uri()}" if latest else "")


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        main()
    except DemoError as error:
        sys.exit(f"\nDemo failed: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped.")
