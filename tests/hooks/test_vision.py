from __future__ import annotations

import base64
import http.client
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from requests.exceptions import ConnectTimeout
from requests_mock import Mocker

from airflow_provider_yandex_vision.hooks.connection import VisionConnection
from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.vision import Image, VisionClient
from airflow_provider_yandex_vision.vision.errors import (
    AuthenticationError,
    ConfigurationError,
    ThrottledError,
    UnavailableError,
)
from tests.hooks.conftest import CONN_ID, Connect, redact
from tests.support.cloud import running_cloud
from tests.support.hostile import FORGERY, forges
from tests.support.loopback import reply, serving, tls_context
from tests.support.pictures import image, images, png
from tests.support.secrets import API_KEY, authorized_key, shows_secret

URL = "https://vision.api.cloud.yandex.net/vision/v1/batchAnalyze"
IN_CLEAR = "the credentials are sent unencrypted"
STRANGE = "Unexpected reply"


@pytest.fixture
def hook(connect: Connect) -> YandexVisionHook:
    connect()
    return YandexVisionHook(CONN_ID)


def count_specs(request: Any, context: Any) -> dict[str, Any]:
    """A reply with as many copies of each image as the request has images."""
    specs = json.loads(b"".join(request.body))["analyzeSpecs"]
    return {"results": [{"results": [{"imageCopySearch": {"copyCount": len(specs)}}]} for _ in specs]}


def unreadable(uri: str) -> Image:
    def read() -> bytes:
        raise OSError("no such key")

    return Image(uri, read)


class TestConnection:
    def test_is_looked_up_when_first_needed(self, connect: Connect) -> None:
        hook = YandexVisionHook(CONN_ID)
        connect(host="https://later.test")
        assert hook.get_conn().host == "https://later.test"

    def test_is_looked_up_once(self, hook: YandexVisionHook) -> None:
        assert isinstance(hook.get_conn(), VisionClient)
        assert hook.get_conn() is hook.get_conn()

    def test_has_a_default(self) -> None:
        assert YandexVisionHook().yandex_vision_conn_id == "yandex_vision_default"

    def test_missing_is_reported(self) -> None:
        with pytest.raises(ConfigurationError, match="connection 'nowhere' does not exist"):
            YandexVisionHook("nowhere").get_conn()

    def test_sets_folder_id_and_timeout(self, connect: Connect, requests_mock: Mocker) -> None:
        connect(extra={"folder_id": "b1g", "timeout": "7"})
        requests_mock.post(URL, json=count_specs)
        YandexVisionHook(CONN_ID).batch_analyze([image("memory://a")])
        sent: Any = requests_mock.last_request
        assert json.loads(b"".join(sent.body))["folderId"] == "b1g"
        assert sent.timeout == (10.0, 7.0)

    def test_key_is_masked_by_airflow(self) -> None:
        """Also if the connection comes from a source whose passwords Airflow itself does not mask."""
        key = "AQVN-a-key-that-airflow-has-not-seen"

        class OtherSource(YandexVisionHook):
            @classmethod
            def get_connection(cls, conn_id: str) -> Any:
                return SimpleNamespace(
                    conn_id=conn_id, password=key, host=None, schema=None, port=None, extra_dejson={}
                )

        assert redact(key) == key
        OtherSource(CONN_ID).get_conn()
        assert redact(f"Api-Key {key}!") == "Api-Key ***!"

    def test_tokens_jwts_and_private_keys_are_masked_by_airflow(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encode: Any = jwt.encode
        secrets = json.loads(authorized_key())["private_key"].splitlines()[2:-2]

        def sign(*args: Any, **kwargs: Any) -> str:
            signed: str = encode(*args, **kwargs)
            secrets.append(signed)
            return signed

        monkeypatch.setattr(jwt, "encode", sign)
        with running_cloud() as cloud:
            secrets.append(cloud.token)
            extra = {"service_account_json": authorized_key(), "iam_endpoint": cloud.url}
            connect(host=cloud.url, password=None, extra=extra)
            YandexVisionHook(CONN_ID).get_conn()
        assert len(secrets) > 20
        for secret in secrets:
            assert shows_secret(secret)
            assert not shows_secret(redact(f"before {secret} after"))

    def test_unencrypted_is_warned_about_once(
        self, connect: Connect, requests_mock: Mocker, capfd: pytest.CaptureFixture[str]
    ) -> None:
        connect(host="http://proxy.test")
        requests_mock.post("http://proxy.test/vision/v1/batchAnalyze", json=count_specs)
        hook = YandexVisionHook(CONN_ID)
        hook.batch_analyze([image("memory://a")])
        assert len(list(hook.copy_search(images(20)))) == 20
        assert requests_mock.call_count == 4
        assert "".join(capfd.readouterr()).count(IN_CLEAR) == 1

    @pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
    def test_that_a_proxy_sees_is_said_with_its_name(
        self, variable: str, connect: Connect, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv(variable, "http://user:swordfish@squid.test:3128/")
        connect(host="http://vision.test")
        YandexVisionHook(CONN_ID).get_conn()
        shown = "".join(capfd.readouterr())
        assert f"{IN_CLEAR}, and the proxy squid.test:3128 sees them" in shown
        assert "swordfish" not in shown

    def test_verification_cannot_be_disabled(self, connect: Connect, tmp_path: Path) -> None:
        heads: list[str] = []
        off = dict.fromkeys(("verify", "ssl_verify", "verify_ssl", "check_certificate"), False)
        with serving(lambda connection: None, tls=tls_context(tmp_path / "ca.pem"), heads=heads) as url:
            connect(host=url, extra={**off, "insecure": True})
            with pytest.raises(UnavailableError, match="certificate"):
                YandexVisionHook(CONN_ID).batch_analyze([image("memory://a")])
        assert heads == []

    def test_key_is_in_no_repr(self, hook: YandexVisionHook) -> None:
        client = hook.get_conn()
        connection = VisionConnection.read(hook.get_connection(CONN_ID), mask=lambda secret: None)
        with closing(CopySearch(client, [], hook.settings)) as search:
            for holder in (hook, client, client._transport, connection, search):
                assert API_KEY not in f"{holder} {holder!r} {vars(holder)}"
            assert list(search) == []

    @pytest.mark.parametrize(
        "host", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080", "https://proxy.test"]
    )
    def test_private_or_encrypted_is_not_warned_about(
        self, connect: Connect, capfd: pytest.CaptureFixture[str], host: str
    ) -> None:
        connect(host=host)
        YandexVisionHook(CONN_ID).get_conn()
        assert IN_CLEAR not in "".join(capfd.readouterr())


class TestSettings:
    def test_invalid_are_refused_at_once(self) -> None:
        with pytest.raises(ConfigurationError, match="max_concurrent_requests"):
            YandexVisionHook(CONN_ID, max_concurrent_requests=0)

    def test_unknown_are_refused_at_once(self) -> None:
        with pytest.raises(TypeError, match="max_image_byte"):
            YandexVisionHook(CONN_ID, max_image_byte=10)

    def test_limit_what_is_sent(self, connect: Connect) -> None:
        connect()
        hook = YandexVisionHook(CONN_ID, max_image_bytes=10, max_pixels=20, max_request_bytes=30)
        settings = hook.settings
        assert (settings.max_image_bytes, settings.max_pixels, settings.max_request_bytes) == (10, 20, 30)
        assert hook.batch_analyze([image("memory://a")])[0].error_code == "TOO_LARGE"

    def test_default_to_10_requests_per_second_8_at_once(self) -> None:
        settings = YandexVisionHook().settings
        assert (settings.requests_per_second, settings.max_concurrent_requests) == (10.0, 8)


class TestBatchAnalyze:
    def test_keeps_the_order_with_bad_files(self, hook: YandexVisionHook, requests_mock: Mocker) -> None:
        requests_mock.post(URL, json=count_specs)
        results = hook.batch_analyze(
            [image("memory://a"), image("memory://text", b"hello"), image("memory://b"), unreadable("memory://c")]
        )
        assert [(result.uri, result.status, result.copy_count) for result in results] == [
            ("memory://a", "found", 2),
            ("memory://text", "rejected", None),
            ("memory://b", "found", 2),
            ("memory://c", "failed", None),
        ]
        assert requests_mock.call_count == 1

    def test_sends_nothing_if_no_image_can_be_sent(self, hook: YandexVisionHook, requests_mock: Mocker) -> None:
        [result] = hook.batch_analyze([image("memory://text", b"hello")])
        assert result.error_code == "NOT_AN_IMAGE"
        assert requests_mock.call_count == 0

    @pytest.mark.parametrize("count", [0, 9])
    def test_takes_1_to_8_images(self, hook: YandexVisionHook, count: int) -> None:
        with pytest.raises(ConfigurationError, match=f"1 to 8 images, not {count}"):
            hook.batch_analyze(list(images(count)))

    def test_raises_without_retrying_and_names_the_images(self, hook: YandexVisionHook, requests_mock: Mocker) -> None:
        requests_mock.post(URL, status_code=429)
        with pytest.raises(ThrottledError) as caught:
            hook.batch_analyze([image("memory://text", b"hello"), image("memory://a")])
        assert caught.value.uris == ("memory://a",)
        assert requests_mock.call_count == 1


def search_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("vision-")}


class TestCopySearch:
    def test_yields_a_result_for_every_image(self, hook: YandexVisionHook, requests_mock: Mocker) -> None:
        requests_mock.post(URL, json=count_specs)
        results = {
            result.uri: result.status
            for result in hook.copy_search([*images(11), image("memory://text", b"hello"), unreadable("memory://c")])
        }
        good = {f"memory://{number}": "found" for number in range(11)}
        assert results == {**good, "memory://text": "rejected", "memory://c": "failed"}

    def test_does_nothing_before_the_first_result(self) -> None:
        hook = YandexVisionHook("nowhere")
        search = hook.copy_search(images(3))
        with pytest.raises(ConfigurationError):
            next(search)

    def test_raises_if_continuing_is_pointless(self, hook: YandexVisionHook, requests_mock: Mocker) -> None:
        requests_mock.post(URL, status_code=401)
        with pytest.raises(AuthenticationError):
            list(hook.copy_search(images(100)))
        assert requests_mock.call_count <= hook.settings.max_concurrent_requests

    def test_close_stops_its_threads(self, connect: Connect) -> None:
        asked = threading.Event()

        def listing() -> Iterator[Image]:
            yield from images(8)
            assert asked.wait(5)
            yield image("memory://text", b"hello")

        before = search_threads()
        with serving(lambda connection: asked.set()) as url:
            connect(host=url)
            search = YandexVisionHook(CONN_ID).copy_search(listing())
            assert next(search).uri == "memory://text"
            assert search_threads() > before
            search.close()
            assert search_threads() <= before


def test_requests_and_replies_are_never_logged(
    connect: Connect, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("", "urllib3", "http.client", "requests", "airflow_provider_yandex_vision"):
        caplog.set_level(logging.DEBUG, name)
    shown = {"pageUrl": "https://page.test/", "title": "Nobody may read this"}
    found = {"results": [{"imageCopySearch": {"copyCount": "1", "topResults": [shown]}}]}
    with serving(lambda connection: connection.sendall(reply(json.dumps({"results": [found]}).encode()))) as url:
        connect(host=url)
        [result] = YandexVisionHook(CONN_ID, linger=0).copy_search([image("memory://a")])
    assert result.matches[0].title == shown["title"]
    logged = "\n".join((caplog.text, *map(repr, caplog.records), *capfd.readouterr()))
    assert "POST /vision/v1/batchAnalyze" in logged, "urllib3 logs nothing: the test proves nothing"
    for word in (base64.b64encode(png("memory://a")).decode(), "IMAGE_COPY_SEARCH", *shown.values()):
        assert word not in logged
    assert http.client.HTTPConnection.debuglevel == 0


class TestTestConnection:
    @pytest.mark.parametrize(
        ("status", "text", "ok", "message"),
        [
            (400, '{"code": 3, "message": "analyze_specs: 1-8"}', True, "https://vision.api.cloud.yandex.net accepts"),
            (200, "{}", True, "https://vision.api.cloud.yandex.net accepts"),
            (401, f'{{"code": 16, "message": "Unknown api key {API_KEY}"}}', False, "The API key is wrong"),
            (403, '{"code": 7, "message": "no"}', False, "Permission denied: the service account needs the role"),
            (503, "", False, "The host is unreachable or unavailable"),
            (404, "<html>No such page</html>", False, f"{STRANGE}: copy search seems to be off, or the conn"),
            (200, "<html>Welcome</html>", False, STRANGE),
            (400, "<html>Plain HTTP sent to HTTPS port</html>", False, STRANGE),
            (302, "", False, f"{STRANGE}: redirects are not followed"),
            (400, '{"code": 3, "message": "Folder ID x does not match"}', False, f"{STRANGE}: Folder ID x does not"),
        ],
    )
    def test_says_what_is_wrong(
        self,
        hook: YandexVisionHook,
        requests_mock: Mocker,
        status: int,
        text: str,
        ok: bool,
        message: str,
    ) -> None:
        requests_mock.post(URL, status_code=status, text=text)
        result = hook.test_connection()
        assert result == (ok, result[1])
        assert result[1].startswith(message)
        assert API_KEY not in result[1]

    def test_sends_no_image(self, hook: YandexVisionHook, requests_mock: Mocker) -> None:
        requests_mock.post(URL, status_code=400, json={"code": 3})
        hook.test_connection()
        sent: Any = requests_mock.last_request
        assert b"".join(sent.body) == b'{"analyzeSpecs":[]}'

    def test_says_that_the_connection_was_refused(self, connect: Connect) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        connect(host=f"http://127.0.0.1:{port}")
        ok, message = YandexVisionHook(CONN_ID).test_connection()
        assert not ok
        assert "Connection refused" in message

    @pytest.mark.parametrize("error", [ConnectTimeout(), RuntimeError("unexpected")])
    def test_never_raises(self, hook: YandexVisionHook, requests_mock: Mocker, error: Exception) -> None:
        requests_mock.post(URL, exc=error)
        assert hook.test_connection()[0] is False

    @pytest.mark.parametrize(
        "reply", [{"exc": RuntimeError(FORGERY)}, {"status_code": 401, "json": {"message": FORGERY}}]
    )
    def test_message_is_one_line(self, hook: YandexVisionHook, requests_mock: Mocker, reply: dict[str, Any]) -> None:
        requests_mock.post(URL, **reply)
        assert not forges(hook.test_connection()[1])

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"password": ""}, "no credentials: put an API key into the password field"),
            ({"password": f"{API_KEY}\n{API_KEY}"}, "the API key contains invalid characters"),
            ({"host": "two words"}, "host 'two words' is not a URL"),
        ],
    )
    def test_names_the_invalid_field_but_not_the_connection(
        self, connect: Connect, fields: dict[str, str], message: str
    ) -> None:
        """The Test button's connection has a random id."""
        connect(**fields)
        ok, said = YandexVisionHook(CONN_ID).test_connection()
        assert not ok
        assert said.startswith(message)
        assert API_KEY not in said

    def test_says_that_the_connection_is_missing(self) -> None:
        assert YandexVisionHook("nowhere").test_connection() == (False, "connection 'nowhere' does not exist")
