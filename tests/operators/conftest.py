from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_yandex_vision.emulator.copies import CopyIndex
from airflow_provider_yandex_vision.emulator.pages import Page, index_pages
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from tests.support.photographs import make_pictures, make_web
from tests.support.secrets import API_KEY

POSTGRES_URL = "postgresql+psycopg2://postgres@127.0.0.1"

Query = Callable[[str], list[Any]]


IN_TABLE: dict[str, Any] = {"table": "copies", "sql_conn_id": "results_db"}


def operator(images: object, **arguments: Any) -> YandexVisionCopySearchOperator:
    """:param images: a ``Path`` stands for the URL of this directory."""
    urls = f"file://{images}/" if isinstance(images, Path) else images
    return YandexVisionCopySearchOperator(task_id="search", images=urls, **arguments)


def context(run_id: str = "run 1", **more: object) -> Any:
    return {"ti": SimpleNamespace(dag_id="dag", run_id=run_id, task_id="search", map_index=-1), **more}


class OutletEvents:
    """The events of one outlet. A dictionary would need assets that can be hashed, as they cannot on 3.0 and 3.1."""

    def __init__(self, outlet: object, event: SimpleNamespace) -> None:
        self._outlet = outlet
        self._event = event

    def __getitem__(self, outlet: object) -> SimpleNamespace:
        assert outlet is self._outlet
        return self._event


def search(images: object, run_id: str = "run 1", **arguments: Any) -> dict[str, Any]:
    return operator(images, **arguments).execute(context(run_id))


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> CopyIndex[Page]:
    return index_pages(make_web(tmp_path_factory.mktemp("web")))


@pytest.fixture
def service(index: CopyIndex[Page]) -> Service:
    return Service(index, api_key=API_KEY)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set an Airflow connection by its fields."""

    def set_connection(conn_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return set_connection


@pytest.fixture
def emulator(service: Service, connect: Callable[..., None]) -> Iterator[Service]:
    """The service, running, and the connection that reaches it."""
    with running(service) as url:
        connect("yandex_vision_default", conn_type="yandex_vision", password=API_KEY, host=url)
        yield service


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def database(request: pytest.FixtureRequest, connect: Callable[..., None], tmp_path: Path) -> Iterator[Query]:
    """The connection ``results_db``, and a way to query it."""
    name = ""
    if request.param == "sqlite":
        connect("results_db", conn_type="sqlite", host=str(tmp_path / "results.db"))
        engine = create_engine(f"sqlite:///{tmp_path / 'results.db'}")
    else:
        name = f"test_{uuid.uuid4().hex[:12]}"
        try:
            _on_server(f"CREATE DATABASE {name}")
        except Exception as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(f"needs PostgreSQL on 127.0.0.1:5432: {error}")
        connect("results_db", conn_type="postgres", host="127.0.0.1", port=5432, login="postgres", schema=name)
        engine = create_engine(f"{POSTGRES_URL}/{name}")

    def query(sql: str) -> list[Any]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]

    yield query
    engine.dispose()
    if name:
        _on_server(f"DROP DATABASE {name} WITH (FORCE)")


def _on_server(sql: str) -> None:
    server = create_engine(f"{POSTGRES_URL}/test", isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(sql))
    server.dispose()
