"""No test sees the user's Airflow, shows a secret or reaches the network."""

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

from tests.support.network_guard import sitecustomize as network_guard
from tests.support.secrets import Watch

for variable in [name for name in os.environ if name.startswith("AIRFLOW_") or name.lower().endswith("_proxy")]:
    del os.environ[variable]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
# Airflow 3 drops what hooks and operators log below this level.
os.environ["AIRFLOW__LOGGING__NAMESPACE_LEVELS"] = "airflow.task=DEBUG"
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, (str(Path(network_guard.__file__).parent), os.environ.get("PYTHONPATH")))
)

hypothesis.settings.register_profile(
    "busy machine",
    deadline=None,
    # Mutation testing runs the tests several times in one process.
    suppress_health_check=[hypothesis.HealthCheck.differing_executors],
)
hypothesis.settings.load_profile("busy machine")


SERVERS = {"duckdb", "postgresql", "mysql", "s3", "s3_endpoint"}
"""Parameters and fixtures. DuckDB runs in the process, but takes as long as a server."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests with a server among their parameters or fixtures."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if callspec := getattr(item, "callspec", None):
            names |= {value for value in callspec.params.values() if isinstance(value, str)}
        if names & SERVERS:
            item.add_marker(pytest.mark.integration)


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True)
def network_is_out_of_reach() -> Iterator[None]:
    """Fail a test that tries to reach the network, even if the code under test swallows the error."""
    yield
    attempts = network_guard.attempts[:]
    network_guard.attempts.clear()
    if attempts:
        pytest.fail(f"the test tried to reach the network: {', '.join(attempts)}")


@pytest.fixture(autouse=True)
def secrets_stay_secret(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that shows a key, a token or a JWT, even if Airflow would mask it later.

    In a log record of any level, on stdout or stderr, in an expected exception, in XCom or a rendered template field,
    in a file; as it is, in base64 or quoted for a URL.
    """
    capture = request.getfixturevalue("capsys" if "capsys" in request.fixturenames else "capfd")
    folders = [Path(os.environ["AIRFLOW_HOME"], "logs")]
    if "tmp_path" in request.fixturenames:
        folders.append(request.getfixturevalue("tmp_path"))
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "airflow.task")
    caplog.handler.setLevel(logging.WARNING)  # tests see what they would see without this fixture
    watch = Watch()
    with watch.log_records(), watch.exceptions(), watch.operator():
        yield
    printed = capture.readouterr()
    sys.stdout.write(printed.out)
    sys.stderr.write(printed.err)
    watch.look("stdout", printed.out)
    watch.look("stderr", printed.err)
    watch.look_into_files(folders)
    if watch.leaks:
        pytest.fail(f"a secret shows up in {', '.join(watch.leaks)}")
