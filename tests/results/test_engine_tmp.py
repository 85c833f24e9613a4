"""The engine that a connection of Airflow is made into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from airflow_provider_yandex_vision.results.database import SQLITE_KEPT_STATEMENTS, SQLITE_LOCK_SECONDS, sql_engine


def test_sqlite_waits_for_its_turn_and_keeps_few_statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_RESULTS_DB", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "results.db")})
    )
    engine, settings = sql_engine("results_db"), {}

    @event.listens_for(engine, "do_connect")
    def note(_dialect: object, _record: object, _arguments: object, given: dict[str, Any]) -> None:
        settings.update(given)

    engine.connect().close()
    engine.dispose()
    assert (settings["timeout"], settings["cached_statements"]) == (SQLITE_LOCK_SECONDS, SQLITE_KEPT_STATEMENTS)
