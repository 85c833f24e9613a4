from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

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


def redact(text: str) -> str:
    """The text as Airflow logs it."""
    for module in ("sdk._shared.secrets_masker", "sdk.execution_time.secrets_masker", "utils.log.secrets_masker"):
        with suppress(ImportError):
            return str(import_module(f"airflow.{module}").redact(text))
    raise ImportError("no secrets masker")
