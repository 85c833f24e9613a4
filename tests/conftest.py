"""No test sees the user's Airflow, and no test may show the API key."""

from __future__ import annotations

import copy
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest

from tests.secrets import API_KEY

for name in [name for name in os.environ if name.startswith("AIRFLOW_") or name.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True)
def the_key_stays_secret(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that prints the API key, or logs it at any level, whatever Airflow would mask afterwards."""
    capture = request.getfixturevalue("capsys" if "capsys" in request.fixturenames else "capfd")
    caplog.set_level(logging.DEBUG)
    caplog.handler.setLevel(logging.WARNING)  # what a test sees without asking stays as it is
    leaks = []
    make_record = logging.getLogRecordFactory()

    def watch_record(*args: object, **kwargs: object) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        if API_KEY in logging.Formatter().format(copy.copy(record)) or API_KEY in repr(record.args):
            leaks.append(f"a record of logger {record.name}")
        return record

    logging.setLogRecordFactory(watch_record)
    yield
    logging.setLogRecordFactory(make_record)
    printed = capture.readouterr()
    sys.stdout.write(printed.out)
    sys.stderr.write(printed.err)
    leaks += [name for name, text in zip(("stdout", "stderr"), printed, strict=True) if API_KEY in text]
    if leaks:
        pytest.fail(f"the API key shows up in {', '.join(leaks)}")
