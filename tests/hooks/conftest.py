from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.secrets import API_KEY

CONN_ID = "vision"

Connect = Callable[..., None]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Create the connection ``vision`` from a URI or from fields; it has a valid key by default."""

    def connect(uri: str | None = None, **fields: object) -> None:
        value = uri or json.dumps({"conn_type": "yandex_vision", "password": API_KEY, **fields})
        monkeypatch.setenv("AIRFLOW_CONN_VISION", value)

    return connect
