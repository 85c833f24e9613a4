from __future__ import annotations

import traceback
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_yandex_vision.compat import BaseHook
from airflow_provider_yandex_vision.hooks.base_url import is_unencrypted
from airflow_provider_yandex_vision.hooks.connection import VisionConnection
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from tests.hooks.conftest import CONN_ID, Connect
from tests.support.secrets import API_KEY


def read() -> VisionConnection:
    return VisionConnection.read(BaseHook.get_connection(CONN_ID), mask=lambda secret: None)


def fields() -> tuple[str, str | None, float]:
    connection = read()
    assert connection.credentials.authorization() == f"Api-Key {API_KEY}"
    return connection.host, connection.folder_id, connection.timeout


def reason() -> str:
    """Why the connection is invalid, without showing the key."""
    with pytest.raises(ConfigurationError) as caught:
        read()
    assert API_KEY not in "".join(traceback.format_exception(caught.value))
    assert str(caught.value).startswith("connection 'vision': ")
    return str(caught.value).removeprefix("connection 'vision': ")


def test_key_is_enough(connect: Connect) -> None:
    connect()
    assert fields() == ("https://vision.api.cloud.yandex.net", None, 60.0)


def test_json_sets_every_field(connect: Connect) -> None:
    connect(host="https://proxy.test/api", extra={"folder_id": "b1g", "timeout": 30})
    assert fields() == ("https://proxy.test/api", "b1g", 30.0)


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        (f"yandex-vision://https://:{API_KEY}@proxy.test:8443/?timeout=30&folder_id=b1g", "https://proxy.test:8443"),
        (f"yandex-vision://http://:{API_KEY}@proxy.test:80/?timeout=30&folder_id=b1g", "http://proxy.test:80"),
        (f"yandex-vision://:{API_KEY}@proxy.test/?timeout=30&folder_id=b1g", "https://proxy.test"),
        (
            f"yandex-vision://:{API_KEY}@https%3A%2F%2Fproxy.test%2Fapi/?timeout=30&folder_id=b1g",
            "https://proxy.test/api",
        ),
        (f"yandex-vision://:{API_KEY}@/?timeout=30&folder_id=b1g", "https://vision.api.cloud.yandex.net"),
        (f"yandex-vision://https://:{API_KEY}@[::1]:8443/?timeout=30&folder_id=b1g", "https://[::1]:8443"),
    ],
)
def test_uri_sets_every_field(connect: Connect, uri: str, host: str) -> None:
    connect(uri)
    assert fields() == (host, "b1g", 30.0)


class TestHost:
    @pytest.mark.parametrize(
        ("fields", "url"),
        [
            ({"host": ""}, "https://vision.api.cloud.yandex.net"),
            ({"host": " proxy.test "}, "https://proxy.test"),
            ({"host": "https://proxy.test/"}, "https://proxy.test"),
            ({"host": "HTTPS://Proxy.Test/API/"}, "https://proxy.test/API"),
            ({"host": "proxy.test", "port": 8443}, "https://proxy.test:8443"),
            ({"host": "http://proxy.test/api", "port": 8080}, "http://proxy.test:8080/api"),
            ({"host": "https://proxy.test:1", "port": 2}, "https://proxy.test:1"),
            ({"host": "proxy.test", "schema": "http"}, "http://proxy.test"),
            ({"host": "https://proxy.test", "schema": "http"}, "https://proxy.test"),
            ({"host": "[2001:db8::1]", "port": 8443}, "https://[2001:db8::1]:8443"),
            ({"host": "2001:db8::1"}, "https://[2001:db8::1]"),
            ({"host": "http://[::1]:8080/api"}, "http://[::1]:8080/api"),
            ({"host": "пример.рф"}, "https://xn--e1afmkfd.xn--p1ai"),
        ],
    )
    def test_becomes_a_base_url(self, connect: Connect, fields: dict[str, Any], url: str) -> None:
        connect(**fields)
        assert read().host == url

    @pytest.mark.parametrize(
        "host", ["ftp://proxy.test", "https://", "://", "two words", "https://proxy.test:port", "https://[::1", "a<b>"]
    )
    def test_that_is_not_a_url_is_refused(self, connect: Connect, host: str) -> None:
        connect(host=host)
        assert reason() == f"host {host!r} is not a URL such as https://vision.api.cloud.yandex.net"

    @pytest.mark.parametrize(
        "host",
        [
            f"https://:{API_KEY}@proxy.test",
            f"ftp://user:{API_KEY}@proxy.test",
            f"proxy.test?key={API_KEY}",
            "a.test#b",
            "a\nb.test",
            "a\x1b[31mb.test",
            "a.test/\u202eb",
        ],
    )
    def test_with_anything_else_is_refused_without_showing_it(self, connect: Connect, host: str) -> None:
        connect(host=host)
        assert reason() == "host may have a scheme, a name, a port and a path, but nothing else"

    @pytest.mark.parametrize("port", [-1, 65536])
    def test_with_an_invalid_port_is_refused(self, connect: Connect, port: int) -> None:
        connect(host="proxy.test", port=port)
        assert reason() == f"port must be from 1 to 65535, not {port}"


class TestKey:
    def test_is_trimmed(self, connect: Connect) -> None:
        connect(password=f" {API_KEY}\n")
        fields()

    @pytest.mark.parametrize("between", ["\n", "\r\nX-Evil: ", " ", "\0", "ключ"])
    def test_invalid_is_refused_without_showing_it(self, connect: Connect, between: str) -> None:
        connect(password=f"{API_KEY}{between}{API_KEY}")
        assert reason() == "the API key contains invalid characters: copy it again"

    def test_is_not_in_the_repr(self, connect: Connect) -> None:
        connect()
        assert API_KEY not in repr(read())


class TestExtra:
    @pytest.mark.parametrize(
        ("extra", "folder_id"),
        [({}, None), ({"folder_id": None}, None), ({"folder_id": " "}, None), ({"folder_id": 7}, "7")],
    )
    def test_folder_id_is_optional(self, connect: Connect, extra: dict[str, Any], folder_id: str | None) -> None:
        connect(extra=extra)
        assert read().folder_id == folder_id

    @pytest.mark.parametrize(("timeout", "seconds"), [(None, 60.0), ("", 60.0), ("2.5", 2.5), (300, 300.0)])
    def test_timeout_is_in_seconds(self, connect: Connect, timeout: Any, seconds: float) -> None:
        connect(extra={"timeout": timeout})
        assert read().timeout == seconds

    @pytest.mark.parametrize("timeout", ["soon", 0, "0", -1, "nan", "inf", [60], {"s": 60}])
    def test_invalid_timeout_is_refused(self, connect: Connect, timeout: Any) -> None:
        connect(extra={"timeout": timeout})
        assert reason() == f"timeout in extra must be a number of seconds greater than 0, not {timeout!r}"

    def test_must_be_an_object(self) -> None:
        connection: Any = SimpleNamespace(conn_id=CONN_ID, password=API_KEY, extra_dejson=[60])
        with pytest.raises(ConfigurationError, match="connection 'vision': extra is not a JSON object"):
            VisionConnection.read(connection, mask=lambda secret: None)


@pytest.mark.parametrize(
    ("url", "unencrypted"),
    [
        ("https://proxy.test", False),
        ("http://proxy.test", True),
        ("http://127.0.0.1:8080", False),
        ("http://localhost:8080", False),
        ("http://[::1]:8080", False),
        ("http://127.0.0.1.evil.test", True),
    ],
)
def test_only_http_to_another_machine_is_unencrypted(url: str, unencrypted: bool) -> None:
    assert is_unencrypted(url) is unencrypted
