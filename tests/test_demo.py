"""The demo's own code; ``tests/integration/test_wheel.py`` runs it."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path

import pytest

from tests.support.secrets import API_KEY

SCRIPT = Path(__file__).parents[1] / "demo" / "run.py"

TALKATIVE_AIRFLOW = """
import os, sys
print("masking", os.environ["AIRFLOW_CONN_YANDEX_VISION_DEFAULT"], file=sys.stderr)
sys.exit("fail" in sys.argv and "ValueError: the DAG failed")
"""


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the script defines, with an Airflow that prints its connection."""
    (tmp_path / "airflow.py").write_text(TALKATIVE_AIRFLOW)
    connection = {"conn_type": "yandex_vision", "password": API_KEY}
    monkeypatch.setenv("AIRFLOW_CONN_YANDEX_VISION_DEFAULT", json.dumps(connection))
    names = runpy.run_path(str(SCRIPT))
    for name, path in {"ROOT": tmp_path, "HOME": tmp_path, "LOG": tmp_path / "demo.log"}.items():
        monkeypatch.setitem(names["airflow"].__globals__, name, path)
    return names


def test_key_is_not_in_the_log_even_if_airflow_prints_it(names: dict[str, object], tmp_path: Path) -> None:
    run = names["airflow"]
    assert callable(run)
    run("dags", "test", environment=dict(os.environ))
    assert '"password": "***"' in (tmp_path / "demo.log").read_text()


def test_failure_quotes_the_last_error_of_the_log(names: dict[str, object]) -> None:
    run, error = names["airflow"], names["DemoError"]
    assert callable(run)
    assert isinstance(error, type)
    with pytest.raises(error, match="`airflow fail dags` failed: ValueError: the DAG failed"):
        run("fail", "dags", environment=dict(os.environ))
