"""No test sees the user's Airflow, and no test may show the API key."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.secrets import Watch

for name in [name for name in os.environ if name.startswith("AIRFLOW_") or name.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
# What hooks and operators say below this level Airflow 3 drops before anybody could look at it.
os.environ["AIRFLOW__LOGGING__NAMESPACE_LEVELS"] = "airflow.task=DEBUG"

hypothesis.settings.register_profile(
    "busy machine",
    deadline=None,
    # Mutation testing runs the tests several times in one process.
    suppress_health_check=[hypothesis.HealthCheck.differing_executors],
)
hypothesis.settings.load_profile("busy machine")


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True)
def the_key_stays_secret(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that shows the API key, whatever Airflow would mask afterwards.

    In a log record of any level, on stdout or stderr, in an exception that was expected, in XCom or a rendered
    template field, in a file; as it is, in base64 or quoted for a URL.
    """
    capture = request.getfixturevalue("capsys" if "capsys" in request.fixturenames else "capfd")
    folders = [Path(os.environ["AIRFLOW_HOME"], "logs")]
    if "tmp_path" in request.fixturenames:
        folders.append(request.getfixturevalue("tmp_path"))
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "airflow.task")
    caplog.handler.setLevel(logging.WARNING)  # what a test sees without asking stays as it is
    watch = Watch()
    with pytest.MonkeyPatch.context() as patch:
        watch.log(patch)
        watch.exceptions(patch)
        watch.operator(patch)
        yield
    printed = capture.readouterr()
    sys.stdout.write(printed.out)
    sys.stderr.write(printed.err)
    watch.look("stdout", printed.out)
    watch.look("stderr", printed.err)
    watch.files(folders)
    if watch.leaks:
        pytest.fail(f"the API key shows up in {', '.join(watch.leaks)}")
