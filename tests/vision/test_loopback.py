from __future__ import annotations

import pytest

from airflow_provider_yandex_vision.vision.loopback import is_loopback


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "vision.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"]
)
def test_this_machine_is(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "localhost.test", "notlocalhost", "10.0.0.1", "[2001:db8::1]", "vision.test", "127"]
)
def test_others_are_not(host: str) -> None:
    assert not is_loopback(host)
