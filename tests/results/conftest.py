"""Every supported database, and DuckDB as one that gets standard SQL."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from airflow_provider_yandex_vision.results.schema import FindingTables, LedgerTables, Tables
from airflow_provider_yandex_vision.results.table import ResultTable
from airflow_provider_yandex_vision.results.upsert import duckdb_is_sound
from tests.results.samples import FIRST_RUN

SERVERS = {
    "postgresql": os.environ.get("TEST_POSTGRESQL_URL", "postgresql+psycopg2://postgres@127.0.0.1:5432/test"),
    "mysql": os.environ.get("TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
}


def server_url(server: str) -> str:
    """URL of a running server. Skips the test if there is none, except in CI."""
    url = SERVERS[server]
    engine = create_engine(url)
    try:
        engine.connect().close()
    except OperationalError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no {server} server at {engine.url!r}")
    finally:
        engine.dispose()
    return url


@pytest.fixture(params=["sqlite", "duckdb", "postgresql", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param in SERVERS:
        return server_url(request.param)
    if request.param == "duckdb" and not duckdb_is_sound():
        pytest.skip("this version of DuckDB is refused")
    return f"{request.param}:///{tmp_path}/{request.param}.db"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def name(engine: Engine) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    drop(engine, name)


def drop(engine: Engine, name: str) -> None:
    """Drop what exists of the tables and views."""
    *tables, findings, open_findings = (*Tables.named(name), *LedgerTables.named(name), *FindingTables.named(name))
    with engine.begin() as connection:
        for each in (open_findings, findings):
            connection.execute(text(f"DROP VIEW IF EXISTS {each.name}"))
        for each in tables:
            connection.execute(text(f"DROP TABLE IF EXISTS {each.name}"))


@pytest.fixture
def table(engine: Engine, name: str) -> ResultTable:
    table = ResultTable(engine, name, FIRST_RUN)
    table.prepare()
    return table
